import { type Executor, ExecutorUnavailable } from '../executor.js';
import { type BackendName, loadTensorFlow } from './backend.js';
import { TfjsProgram } from './program.js';

/** The graph on TensorFlow.js, one plain operation at a time: slow, portable, and what the other executors are compared with. */
export function tfjsExecutor(wanted: BackendName | 'best'): Executor {
  return {
    async load(graph, samples) {
      const { tf, backend } = await loadTensorFlow(wanted);
      const program = await TfjsProgram.create(tf, backend, graph, samples);
      return { program, fingerprint: { executor: 'tfjs', kernelPath: backend, build: `tfjs-core ${tf.version_core}` } };
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
