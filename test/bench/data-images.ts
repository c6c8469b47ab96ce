/** The images of a benchmark as a data set of one class, in a folder of their own that the peer reads too. */
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { UsageError } from './training-case.js';

export interface BenchImages {
  /** Root of the data service. */
  readonly folder: string;
  readonly store: string;
  /** SHA-256. */
  readonly manifest: string;
  readonly samples: number;
  remove(): void;
}

/** The first `count` JPEGs below `folder` by name. @throws UsageError where there is none */
export async function benchImages(folder: string, count: number): Promise<BenchImages> {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.jpe?g$/i.test(name));
  const names = found.sort().slice(0, count);
  if (names.length === 0) throw new UsageError(`--images: ${folder} holds no JPEG`);
  const base = mkdtempSync(join(tmpdir(), 'dropstream-bench-data-'));
  const root = join(base, 'images');
  mkdirSync(join(root, 'all'), { recursive: true });
  for (const [i, name] of names.entries()) {
    const [from, to] = [join(folder, name), join(root, 'all', `${String(i).padStart(6, '0')}.JPEG`)];
    try {
      linkSync(from, to);
    } catch {
      copyFileSync(from, to);
    }
  }
  const store = await DirectoryStore.open(join(base, 'store'));
  const dataset = await indexDataset(await AllowedRoots.open([root]), root);
  await saveManifest(store, dataset, 'default');
  await store.close();
  return {
    folder: root,
    store: join(base, 'store'),
    manifest: dataset.sha256,
    samples: dataset.samples,
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
}
