import { type Executor, ExecutorUnavailable } from '../executor.js';
import { graphDigest } from '../fingerprint.js';
import { type BackendName, loadTensorFlow } from './backend.js';
import { TfjsProgram } from './program.js';

/** The graph on TensorFlow.js, one plain operation at a time: slow, portable, and what the other executors are compared with. */
export function tfjsExecutor(wanted: BackendName | 'best'): Executor {
  return {
    async prepare(graph, samples, { precision, checkpointBlocks }) {
      if (precision !== 'fp32') {
        throw new RangeError(`precision: ${precision} is not allowed on executor tfjs; allowed: fp32 (bf16 is for executor native)`);
      }
      if (checkpointBlocks) throw new RangeError('checkpoint_blocks: true is not allowed on executor tfjs; it is for executor native');
      const { tf, backend } = await loadTensorFlow(wanted);
      return {
        fingerprint: { executor: 'tfjs', kernelPath: backend, build: `tfjs-core ${tf.version_core} ${graphDigest(graph, samples)}` },
        create: () => TfjsProgram.create(tf, backend, graph, samples),
      };
    },
    async missing() {
      try {
        await loadTensorFlow(wanted);
        return undefined;
      } catch (error) {
        if (error instanceof ExecutorUnavailable) return error.reason;
        throw error;
      }
    },
  };
}
