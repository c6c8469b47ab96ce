/** Random crops of the training transform, and the centre crop of evaluation (recipe §5). Pixels, integers. */
import { exp, log } from '#random/elementary.js';
import type { Draws } from './draws.js';
import { roundHalfEven } from './round-half-even.js';

export interface CropBox {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

const AREA = [0.08, 1] as const;
const ASPECT = [3 / 4, 4 / 3] as const;
const LOG_ASPECT = [log(ASPECT[0]), log(ASPECT[1])] as const;
const TRIES = 10;

/**
 * RandomResizedCrop: area share uniform in [0.08, 1), aspect (width / height) log-uniform in [3/4, 4/3), uniform place;
 * after ten boxes that do not fit, `fallbackCrop`.
 */
export function randomResizedCrop(draws: Draws, width: number, height: number): CropBox {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const area = draws.uniform(...AREA) * width * height;
    const aspect = exp(draws.uniform(...LOG_ASPECT));
    const w = roundHalfEven(Math.sqrt(area * aspect));
    const h = roundHalfEven(Math.sqrt(area / aspect));
    if (w > 0 && h > 0 && w <= width && h <= height) {
      return { top: draws.integer(0, height - h), left: draws.integer(0, width - w), height: h, width: w };
    }
  }
  return fallbackCrop(width, height);
}

/** The largest central box whose aspect lies in [3/4, 4/3]. */
export function fallbackCrop(width: number, height: number): CropBox {
  const aspect = width / height;
  const w = aspect > ASPECT[1] ? roundHalfEven(height * ASPECT[1]) : width;
  const h = aspect < ASPECT[0] ? roundHalfEven(width / ASPECT[0]) : height;
  return { top: (height - h) >> 1, left: (width - w) >> 1, height: Math.max(1, h), width: Math.max(1, w) };
}

/** Where evaluation resizes to and crops: short side int(size / cropPct), long side in proportion, centre crop, halves to even. */
export function evaluationCrop(width: number, height: number, size: number, cropPct: number) {
  const short = Math.floor(size / cropPct);
  const resizeWidth = width <= height ? short : Math.floor((short * width) / height);
  const resizeHeight = width <= height ? Math.floor((short * height) / width) : short;
  return { resizeWidth, resizeHeight, top: roundHalfEven((resizeHeight - size) / 2), left: roundHalfEven((resizeWidth - size) / 2) };
}
