/** Random erasing (recipe §5): draws the boxes of one image. */
import { exp, log } from '#random/elementary.js';
import type { eraseModes } from '#spec/words.js';
import type { Draws } from './draws.js';
import type { CropBox } from './random-crop.js';
import { roundHalfEven } from './round-half-even.js';

export type EraseMode = (typeof eraseModes.words)[number];

export interface Erasing {
  /** Probability that an image is erased at all. */
  readonly probability: number;
  readonly mode: EraseMode;
  /** The number of boxes is uniform in 1 to maxCount. */
  readonly maxCount: number;
}

const AREA = [0.02, 1 / 3] as const;
const LOG_ASPECT = [log(0.3), log(1 / 0.3)] as const;
const TRIES = 10;

/** Boxes of an image of width × height pixels. Each is smaller than the image on both axes. A box that does not fit in any attempt is left out. */
export function randomErasing(draws: Draws, { probability, maxCount }: Erasing, width: number, height: number): CropBox[] {
  if (!draws.chance(probability)) return [];
  const count = draws.integer(1, maxCount);
  return Array.from({ length: count }, () => eraseBox(draws, (width * height) / count, width, height)).filter((box) => box !== undefined);
}

function eraseBox(draws: Draws, area: number, width: number, height: number): CropBox | undefined {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const target = draws.uniform(...AREA) * area;
    const aspect = exp(draws.uniform(...LOG_ASPECT));
    const h = roundHalfEven(Math.sqrt(target * aspect));
    const w = roundHalfEven(Math.sqrt(target / aspect));
    if (w > 0 && h > 0 && w < width && h < height) {
      return { top: draws.integer(0, height - h), left: draws.integer(0, width - w), height: h, width: w };
    }
  }
  return undefined;
}
