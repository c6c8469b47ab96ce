/** The numerics that this machine would train a model with, without training it. */
import { type CompileOptions, type CompileShapes, compile, type Fingerprint } from '#engine/index.js';
import type { Model } from '#nn/model.js';

/**
 * TODO(lead): replace by `fingerprintOf` of #engine/index.js, which takes no memory, and delete this file. Until then a model of some
 * kilobytes stands in: today's fingerprint depends on executor, precision, kernel path and build alone.
 * @throws ExecutorUnavailable, UnknownExecutor; RangeError for options that the executor lacks
 */
export async function fingerprintOf(_model: Model, _shapes: CompileShapes, options: CompileOptions): Promise<Fingerprint> {
  const program = await compile('vit_nano_p7', { imageSize: 28, classes: 2, batch: 1 }, { ...options, evaluateOnly: true });
  program.dispose();
  return program.fingerprint;
}
