/** Tuning of an engine to the user's machine. The code of the engine is loaded when it is used. */
import type { TuneOptions, Tuning } from './webgpu/tuning/tune.js';

export { tunedTypes as tunedPrecisions } from './webgpu/kernels/tile-shapes.js';
export type { TunedProduct } from './webgpu/tuning/tune.js';

/** The engines that have something to tune. */
export const tunedEngines = ['webgpu'] as const;

/** Times what this machine may choose on the engine `webgpu`, and stores the choice. @throws what webgpu/tuning/tune.ts throws */
export async function tuneEngine(options: TuneOptions): Promise<Tuning> {
  return (await import('./webgpu/tuning/tune.js')).tune(options);
}

/** Forgets the choice. @returns the file that it was in */
export async function forgetTuning(): Promise<string> {
  return (await import('./webgpu/tuning/tune.js')).forgetTuning();
}
