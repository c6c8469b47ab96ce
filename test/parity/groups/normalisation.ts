/** normalisation.json: bytes to floats, and the constants of both sets. */
import { normalisation as constantsOf, resolveTransform } from '#data/plan/augment/transform.js';
import { Violations } from '#errors/errors.js';
import { finishBatch } from '#native/pixels.js';
import { type Check, largestDifference, same } from '../../support/checks.js';
import type { FixtureFolder } from '../../support/fixture-folder.js';
import { listed, type ParityCase, type ParitySource } from '../parity-case.js';

type Triple = [number, number, number];

interface Normalisation {
  mean: Triple;
  std: Triple;
  fill: Triple;
  /** Bytes, and by channel what they become. */
  of: number[];
  values: number[][];
}

/** Which option selects a set of constants. */
const imagenetMeanAndStd: Readonly<Record<string, boolean>> = { imagenet: true, inception: false };

async function normalisationChecks(folder: FixtureFolder, name: string): Promise<Check[]> {
  const { mean, std, fill, of, values } = folder.json<Record<string, Normalisation>>('normalisation.json')[name]!;
  const checks: Check[] = [];
  if (Object.hasOwn(imagenetMeanAndStd, name)) {
    const options = { inputSize: 224, training: true, imagenetDefaultMeanAndStd: imagenetMeanAndStd[name] };
    checks.push(same('constants', constantsOf(resolveTransform(options, new Violations())), { mean, std, fill }));
  }
  const size = Math.ceil(Math.sqrt(of.length));
  const pixels = new Uint8Array(3 * size * size);
  for (let c = 0; c < 3; c++) pixels.set(of, c * size * size);
  const out = new Float32Array(pixels.length);
  const plain = { erase: [], mix: { lambda: 1, partner: 0, box: null } };
  await finishBatch(pixels, 1, size, { mean, std, samples: [plain] }, out);
  for (let c = 0; c < 3; c++) {
    const channel = out.subarray(c * size * size, c * size * size + of.length);
    checks.push(largestDifference(`channel ${c}`, channel, values[c]!.map(Math.fround), 0));
  }
  return checks;
}

export const normalisation: ParitySource = {
  group: 'normalisation',
  file: /^normalisation\.json$/,
  cases(file, { folder }) {
    const names = Object.entries(folder.json<Record<string, Normalisation | string>>(file)).filter(
      ([, value]) => typeof value === 'object',
    );
    return listed(file, 'constants', names).map(
      ([name]): ParityCase => ({ name: `normalisation/${name}`, run: () => normalisationChecks(folder, name) }),
    );
  },
};
