/** How the tuned tiles of a program stand in its numerics fingerprint, and how a program gets those of another one. */
import type { ProgramSpec } from '../../native/program-spec.js';
import { multipliedType, type PlannedCall } from '../calls.js';
import type { AdapterDescription } from '../device.js';
import { isTiledProduct, kindOf, productSizes, type Tiles, tileFor } from '../kernels/tile-shapes.js';
import { isChoice } from './tiles-here.js';

/** The products of the program that have other tiles than by default, as words that each follow a space: ` linear.fp32=128x64x16@128`. */
export function wordsOfTiles(spec: ProgramSpec, calls: readonly PlannedCall[], tiles: Tiles): string {
  const words = new Set<string>();
  for (const call of calls) {
    const { kernel, attributes } = call.instruction;
    if (!isTiledProduct(kernel)) continue;
    const type = multipliedType(spec, call);
    const { m, n } = productSizes(kernel, attributes, spec.chunkSamples);
    const { name } = tileFor(m, n, tiles[kindOf(kernel, type)]);
    if (name !== tileFor(m, n, undefined).name) words.add(` ${kindOf(kernel, type)}=${name}`);
  }
  return [...words].sort().join('');
}

/**
 * The tiles of a program with this fingerprint, as checkpoints store it. Undefined if it ran on another adapter, driver or version, or has tiles that
 * these kernels do not have.
 */
export function tilesOf(
  fingerprint: string,
  { name, driver, dawn }: Pick<AdapterDescription, 'name' | 'driver' | 'dawn'>,
): Tiles | undefined {
  const [, rest] = fingerprint.split(`/${name} ${driver}/webgpu ${dawn} `);
  if (rest === undefined || !fingerprint.startsWith('webgpu/')) return undefined;
  // The last word is the digest.
  const choices = rest
    .split(' ')
    .slice(0, -1)
    .map((word) => word.split('=') as [string, string]);
  return choices.every(([product, tile = '']) => isChoice(product, tile)) ? (Object.fromEntries(choices) as Tiles) : undefined;
}
