/** The golden values in shared/fixtures: files, tensors, and the values given by formula (its README §1). */
import { fnv1a32 } from '#random/philox.js';
import { FixtureFolder, type FixtureTensors } from './fixture-folder.js';
import { sharedFolder, sharedPath } from './shared-folder.js';

/** For node:test: `{ skip: withoutFixtures }` says why a test does not run where the fixtures are absent. */
export const withoutFixtures: string | false =
  sharedPath('fixtures') === undefined ? 'the shared fixtures are not beside this working copy (DROPSTREAM_SHARED)' : false;

/** The public set; reading from it throws where it is absent. */
export const publicFixtures = new FixtureFolder(`${sharedFolder}/fixtures`);

export function fixtureJson<T>(name: string): T {
  return publicFixtures.json<T>(name);
}

/** All tensors of a .safetensors fixture by name. */
export function fixtureTensors(name: string): FixtureTensors {
  return publicFixtures.tensors(name);
}

/** u of element i of the tensor with this full name, in [0, 1). */
export function fillUnits(fullName: string, count: number): Float64Array {
  const seed = fnv1a32(fullName);
  const units = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let x = seed + Math.imul(i, 0x9e3779b9);
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    units[i] = ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  }
  return units;
}

/** value(v) of every element's v = 2u − 1, rounded once. A plain loop: the large models have tens of millions. */
function fill(fullName: string, count: number, value: (v: number) => number): Float32Array {
  const units = fillUnits(fullName, count);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = value(2 * (units[i] as number) - 1);
  return values;
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** A parameter's value by its name. */
export function fillParameter(salt: string, name: string, shape: readonly number[]): Float32Array {
  const last = name.split('.').at(-1) ?? '';
  const fanIn = product(shape.slice(1));
  let value: (v: number) => number;
  if (['pos_embed', 'cls_token', 'relative_position_bias_table'].includes(last)) value = (v) => 0.1 * v;
  else if (last === 'gamma') value = (v) => 0.5 + 0.1 * v;
  else if (shape.length >= 2) value = (v) => Math.sqrt(3 / fanIn) * v;
  else if (last === 'bias') value = (v) => 0.1 * v;
  else value = (v) => 1 + 0.1 * v;
  return fill(`${salt}/${name}`, product(shape), value);
}

/** The input images of a case; `name` is `input`, or `batch<k>/input` in a trajectory. */
export function fillInput(salt: string, shape: readonly number[], name = 'input'): Float32Array {
  return fill(`${salt}/${name}`, product(shape), (v) => 1.7 * v);
}

export function fillLabels(salt: string, count: number, classes: number, name = 'label'): number[] {
  return Array.from({ length: count }, (_, i) => (fnv1a32(`${salt}/${name}`) + 7 * i) % classes);
}

/** A mask by formula: 1 (kept) where u < 1 − rate. */
export function fillMask(salt: string, name: string, count: number, rate: number): Uint8Array {
  return Uint8Array.from(fillUnits(`${salt}/${name}`, count), (u) => (u < 1 - rate ? 1 : 0));
}

/** Targets λ·s(y) + (1 − λ)·s(y reversed along the batch), s the smoothed one-hot. */
export function fillTargets(labels: readonly number[], classes: number, smoothing: number, lambda: number): Float32Array {
  const off = smoothing / classes;
  const on = 1 - smoothing + off;
  const reversed = labels.toReversed();
  return Float32Array.from({ length: labels.length * classes }, (_, i) => {
    const [row, c] = [Math.floor(i / classes), i % classes];
    return lambda * (labels[row] === c ? on : off) + (1 - lambda) * (reversed[row] === c ? on : off);
  });
}
