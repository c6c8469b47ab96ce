import { inTurns } from '#bounds/pieces.js';
import { AddonUnavailable, engineInfo } from '#native/addon.js';
import { type Executor, ExecutorUnavailable } from '../executor.js';
import { lowerInPieces } from './lower.js';
import { loweringDigest } from './lowering-digest.js';
import { createProgram } from './program.js';

/** Runs a graph on the C++ addon. */
export const nativeExecutor: Executor = {
  async prepare(graph, samples, options) {
    const missing = await this.missing();
    if (missing !== undefined) throw new ExecutorUnavailable('native', missing);
    const { isa, numerics } = engineInfo();
    const spec = await inTurns(lowerInPieces(graph, samples, options));
    const build = `${numerics} ${await inTurns(loweringDigest(spec))}`;
    return {
      fingerprint: { executor: 'native', kernelPath: isa, build },
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
