import { setImmediate } from 'node:timers/promises';
import { AddonUnavailable, engineInfo } from '#native/addon.js';
import { type Executor, ExecutorUnavailable } from '../executor.js';
import { lowerCalls, placeValues } from './lower.js';
import { loweringDigest } from './lowering-digest.js';
import { createProgram } from './program.js';

/** Runs a graph on the C++ addon. */
export const nativeExecutor: Executor = {
  async prepare(graph, samples, options) {
    const missing = await this.missing();
    if (missing !== undefined) throw new ExecutorUnavailable('native', missing);
    const { isa, numerics } = engineInfo();
    // Of a large model each of these takes tens of milliseconds.
    const calls = lowerCalls(graph, options);
    await setImmediate();
    const spec = placeValues(graph, samples, calls);
    await setImmediate();
    return {
      fingerprint: { executor: 'native', kernelPath: isa, build: `${numerics} ${loweringDigest(spec)}` },
      create: async () => createProgram(spec),
    };
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
