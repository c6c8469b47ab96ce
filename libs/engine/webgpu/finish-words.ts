/** How the device is told to finish the images of a micro-batch: a FinishPlan as words of 32 bits. The writer and the places for WGSL, side by side. */
import { normalisationTables } from '#native/pixels/plan-record.js';
import type { Box, FinishPlan, FinishSample } from '#native/pixels.js';

/**
 * First the tables of normalisation, [3, 256] floats. Then for every row: slot, first word of its erase boxes, number of erase boxes, partner, kind of
 * mixing, box (top, left, height, width), λ and 1 − λ as floats. Then the erase boxes: top, left, height, width, mode, key (two words), number.
 */
export const ROWS_AT = 768;
export const ROW_WORDS = 11;
export const ERASE_WORDS = 8;

const MIX_NONE = 0;
export const MIX_BLEND = 1;
export const MIX_BOX = 2;
export const ERASE_MODES = { const: 0, rand: 1, pixel: 2 } as const;

/** @throws TypeError for a plan that finishBatch of libs/native would reject */
export function finishWords(plan: FinishPlan, size: number): Uint32Array {
  const { samples } = plan;
  const boxes = samples.reduce((sum, { erase }) => sum + erase.length, 0);
  const words = new Uint32Array(ROWS_AT + ROW_WORDS * samples.length + ERASE_WORDS * boxes);
  const floats = new Float32Array(words.buffer);
  floats.set(normalisationTables(plan));
  let at = ROWS_AT + ROW_WORDS * samples.length;
  for (const [row, { slot = row, erase, mix }] of samples.entries()) {
    check(samples[row]!, row, samples.length, size);
    const begin = ROWS_AT + ROW_WORDS * row;
    const { top, left, height, width } = mix.box ?? NO_BOX;
    const kind = mix.box !== null ? MIX_BOX : mix.lambda === 1 ? MIX_NONE : MIX_BLEND;
    words.set([slot, at, erase.length, mix.partner, kind, top, left, height, width], begin);
    floats.set([mix.lambda, 1 - mix.lambda], begin + 9);
    for (const { top, left, height, width, mode, key, box } of erase) {
      words.set([top, left, height, width, ERASE_MODES[mode], key[0], key[1], box], at);
      at += ERASE_WORDS;
    }
  }
  return words;
}

/** Row of the micro-batch whose image is mixed into a row's, from the words. A row without mixing is its own partner. */
export function partnerOf(words: Uint32Array, row: number): number {
  const begin = ROWS_AT + ROW_WORDS * row;
  return words[begin + 4] === MIX_NONE ? row : words[begin + 3]!;
}

const NO_BOX: Box = { top: 0, left: 0, height: 0, width: 0 };
const isWord = (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 32;

function check({ slot = 0, erase, mix }: FinishSample, row: number, rows: number, size: number): void {
  const { lambda, partner, box } = mix;
  if (!isWord(slot)) throw new TypeError(`slot ${slot} of sample ${row}: must be a whole number below 2^32`);
  if (!isWord(partner) || partner >= rows) throw new TypeError(`partner ${partner} of sample ${row}: the batch has ${rows}`);
  if (!(lambda >= 0 && lambda <= 1)) throw new TypeError(`lambda ${lambda} of sample ${row}: must be 0 to 1`);
  if (box !== null) checkBox(box, size, 'mix box', row);
  for (const one of erase) {
    checkBox(one, size, 'erase box', row);
    if (![...one.key, one.box].every(isWord))
      throw new TypeError(`erase key or box number of sample ${row}: must be whole numbers below 2^32`);
    if (!Object.hasOwn(ERASE_MODES, one.mode))
      throw new TypeError(`erase mode ${JSON.stringify(one.mode)} of sample ${row}: must be const, rand or pixel`);
  }
}

function checkBox({ top, left, height, width }: Box, size: number, what: string, row: number): void {
  if (![top, left, height, width].every(isWord) || top + height > size || left + width > size)
    throw new TypeError(`${what} of sample ${row} leaves the image of ${size} x ${size}`);
}
