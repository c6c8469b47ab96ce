import { type Executor, ExecutorUnavailable } from '../executor.js';
import { graphDigest } from '../fingerprint.js';
import { type BackendName, loadTensorFlow } from './backend.js';
import { TfjsProgram } from './program.js';

/** Runs a graph on TensorFlow.js, one operation at a time. It is slow but portable, and is the reference for the other executors. */
export function tfjsExecutor(wanted: BackendName | 'best'): Executor {
  return {
    async prepare(graph, samples) {
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
