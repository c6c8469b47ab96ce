import { createProgram, engineInfo } from '#native/engine.js';
import { AddonUnavailable } from '#native/load.js';
import { type Executor, ExecutorUnavailable } from '../executor.js';
import { lower } from './lower.js';

/** The graph on the C++ addon. */
export const nativeExecutor: Executor = {
  async load(graph, samples, options) {
    const missing = await this.missing();
    if (missing !== undefined) throw new ExecutorUnavailable('native', missing);
    const { isa, build } = engineInfo();
    return { program: createProgram(lower(graph, samples, options)), fingerprint: { executor: 'native', kernelPath: isa, build } };
  },
  async missing() {
    try {
      engineInfo();
      return undefined;
    } catch (error) {
      if (error instanceof AddonUnavailable) return error.message;
      throw error;
    }
  },
};
