/**
 * Dropout and drop-path masks as defined in executable.ts (StepRandomness), for executors without native code. They have the same bits as the
 * addon's.
 */

import { keepThreshold, philoxBlock, seedKey } from '#random/philox.js';
import type { StepRandomness } from './executable.js';

const PATH_SITE = 0x80000000;

/** True if `path` keeps the sample at position `sample` of the step. */
export function keepsPath(random: StepRandomness, path: number, sample: number): boolean {
  const explicit = random.pathMasks?.[path];
  if (explicit) return explicit[sample] !== 0;
  const words = new Uint32Array(4);
  philoxBlock(words, seedKey(random.seed), 0, sample, (PATH_SITE | path) >>> 0, random.step);
  return (words[0] as number) < keepThreshold(random.pathRates[path] ?? 0);
}

/** True if dropout acts at a site in this step; otherwise its values pass unchanged. */
export function dropsAt(random: StepRandomness, site: number): boolean {
  return (random.siteRates[site] ?? 0) > 0 || random.siteMasks?.[site] !== undefined;
}

/** Writes the scaled mask of one sample at a dropout site to `out`, which has the site's elements: 1/(1 − p) if kept, 0 if dropped. */
export function siteMask(out: Float32Array, random: StepRandomness, site: number, sample: number): void {
  const rate = random.siteRates[site] ?? 0;
  const scale = 1 / (1 - rate);
  const explicit = random.siteMasks?.[site];
  if (explicit) {
    for (let i = 0; i < out.length; i++) out[i] = explicit[sample * out.length + i] ? scale : 0;
    return;
  }
  const key = seedKey(random.seed);
  const threshold = keepThreshold(rate);
  const words = new Uint32Array(4);
  for (let i = 0; i < out.length; i += 4) {
    philoxBlock(words, key, i / 4, sample, site, random.step);
    for (let w = 0; w < 4 && i + w < out.length; w++) out[i + w] = (words[w] as number) < threshold ? scale : 0;
  }
}
