/** Random crops for training, and the centre crop of evaluation (recipe §5). All values are whole pixels. */
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
 * RandomResizedCrop: the area is a uniform fraction in [0.08, 1) of the image, the aspect (width / height) is log-uniform in [3/4, 4/3), and the
 * place is uniform. After ten boxes that do not fit, `fallbackCrop` is used.
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

/**
 * Size and crop of evaluation: the short side becomes int(size / cropPct), the long side keeps the proportion, and the crop is central. Halves are
 * rounded to even.
 */
export function evaluationCrop(width: number, height: number, size: number, cropPct: number) {
  const short = Math.floor(size / cropPct);
  const resizeWidth = width <= height ? short : Math.floor((short * width) / height);
  const resizeHeight = width <= height ? Math.floor((short * height) / width) : short;
  return { resizeWidth, resizeHeight, top: roundHalfEven((resizeHeight - size) / 2), left: roundHalfEven((resizeWidth - size) / 2) };
}
