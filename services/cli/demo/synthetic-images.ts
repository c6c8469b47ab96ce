/** Generates a small data set of noisy stripes in ten classes as IDX files, for `demo --quick` without Fashion-MNIST. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Conversion } from './fashion-mnist.js';
import { IdxFile } from './idx-file.js';

const SIDE = 28;
/** Distances between stripes in pixels. */
const PERIODS = [3.5, 5, 7, 10, 15];

/** Two directions in five widths; a flipped image stays in its class. */
const syntheticClasses: readonly string[] = ['upright', 'level'].flatMap((direction) =>
  PERIODS.map((period) => `${direction}, ${period} px`),
);

/** Writes `perClass` images of each class; every seventh one is a test image. */
export async function writeSyntheticImages(cacheRoot: string, perClass: number): Promise<Conversion> {
  const folder = join(cacheRoot, `stripes-v1-${perClass}`);
  const draft = `${folder}.${process.pid}.draft`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  const counts = { train: 0, t10k: 0 };
  for (const split of ['train', 't10k'] as const) {
    const images = await IdxFile.create(join(draft, `${split}-images-idx3-ubyte`), [SIDE, SIDE]);
    const labels = await IdxFile.create(join(draft, `${split}-labels-idx1-ubyte`), []);
    for (let k = 0; k < perClass; k++) {
      if ((k % 7 === 6) !== (split === 't10k')) continue;
      for (let label = 0; label < syntheticClasses.length; label++) {
        await images.append(stripes(label, k));
        await labels.append(Uint8Array.of(label));
      }
    }
    counts[split] = images.count;
    await images.close();
    await labels.close();
  }
  await writeFile(join(draft, 'classes.txt'), `${syntheticClasses.join('\n')}\n`);
  await rm(folder, { recursive: true, force: true });
  await rename(draft, folder);
  return { folder, train: counts.train, test: counts.t10k, empty: [], cached: false };
}

/** Image k of a class: slightly tilted stripes whose phase, tilt and noise are a function of (label, k). */
export function stripes(label: number, k: number): Uint8Array {
  const draw = mixer(label * 100_003 + k);
  const angle = (label < PERIODS.length ? 0 : Math.PI / 2) + 0.5 * (draw() - 0.5);
  const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
  const phase = draw() * 2 * Math.PI;
  const frequency = (2 * Math.PI) / (PERIODS[label % PERIODS.length]! * (0.93 + 0.14 * draw()));
  return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => {
    const wave = Math.sin(frequency * ((i % SIDE) * dx + Math.floor(i / SIDE) * dy) + phase);
    return Math.max(0, Math.min(255, Math.round(128 + 70 * wave + 120 * (draw() - 0.5))));
  });
}

/** Uniform values in [0, 1) that depend only on the seed (splitmix32). */
function mixer(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}
