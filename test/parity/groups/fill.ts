/** fill.json: hashes, tensors, masks, units and labels by formula. */
import { createHash } from 'node:crypto';
import { fnv1a32 } from '#random/philox.js';
import { largestDifference, same } from '../../support/checks.js';
import { fillInput, fillLabels, fillMask, fillParameter, fillUnits } from '../../support/fixtures.js';
import { listed, type ParitySource } from '../parity-case.js';

interface FillFile {
  hash: { text: string; fnv1a: number }[];
  tensors: { kind: 'weight' | 'input'; name: string; shape: number[]; first_8: number[]; sha256_little_endian: string }[];
  masks: { name: string; drop: number; mask: number[] }[];
  units: { name: string; first_4: number[] }[];
  labels: { salt: string; count: number; classes: number; labels: number[] }[];
}

/** What stands before and after the last slash. */
function split(fullName: string): [salt: string, name: string] {
  const at = fullName.lastIndexOf('/');
  return [fullName.slice(0, at), fullName.slice(at + 1)];
}

export const fill: ParitySource = {
  group: 'fill',
  file: /^fill\.json$/,
  cases(file, { folder }) {
    const { hash, tensors, masks, units, labels } = folder.json<FillFile>(file);
    return [
      {
        name: 'fill/hash',
        run: () => listed(file, 'hash', hash).map(({ text, fnv1a }) => same(JSON.stringify(text), fnv1a32(text), fnv1a)),
      },
      ...listed(file, 'tensors', tensors).map(({ kind, name, shape, first_8, sha256_little_endian }) => ({
        name: `fill/${name}`,
        run: () => {
          const [salt, last] = split(name);
          const values = kind === 'input' ? fillInput(salt, shape, last) : fillParameter(salt, last, shape);
          const hash = createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
          return [
            largestDifference('first values', values.subarray(0, first_8.length), first_8, 0),
            same('SHA-256', hash, sha256_little_endian),
          ];
        },
      })),
      {
        name: 'fill/masks',
        run: () =>
          listed(file, 'masks', masks).map(({ name, drop, mask }) => same(name, [...fillMask(...split(name), mask.length, drop)], mask)),
      },
      {
        name: 'fill/units',
        run: () =>
          listed(file, 'units', units).map(({ name, first_4 }) => largestDifference(name, fillUnits(name, first_4.length), first_4, 0)),
      },
      {
        name: 'fill/labels',
        run: () =>
          listed(file, 'labels', labels).map(({ salt, count, classes, labels }) => same(salt, fillLabels(salt, count, classes), labels)),
      },
    ];
  },
};
