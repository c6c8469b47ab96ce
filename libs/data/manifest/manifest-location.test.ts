// The object that says where a data set was indexed: whatever happens to it, the data set is found where a root or a store has it, and otherwise the
// message names the object and what to do.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DataLoss, FailedPrecondition } from '#errors/errors.js';
import { openStore } from '#storage/open-store.js';
import { writeImageFolder } from '../../../test/support/sample-datasets.js';
import { AllowedRoots } from '../datasets/allowed-roots.js';
import { indexDataset } from '../datasets/index-dataset.js';
import { LocalTree } from '../datasets/local-tree.js';
import { DataSources } from '../sources/data-sources.js';
import { pushDataset } from '../sources/push-dataset.js';
import type { Manifest } from './manifest.js';
import { locationKey, parseLocation, readLocation, saveLocation } from './manifest-location.js';
import { loadManifest, saveManifest } from './manifest-store.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-location-'));
const birds = join(base, 'sets', 'birds');
let roots: AllowedRoots;
let manifest: Manifest;
before(async () => {
  mkdirSync(join(base, 'sets'));
  writeImageFolder(birds);
  roots = await AllowedRoots.open([join(base, 'sets')]);
});
after(() => rmSync(base, { recursive: true }));

/** A store with the manifest and its location. */
async function indexedStore() {
  const folder = mkdtempSync(join(base, 'store-'));
  const store = await openStore(folder);
  const dataset = await indexDataset(roots, birds);
  await saveManifest(store, dataset, 'default');
  const of = { project: 'default', sha256: dataset.sha256 };
  manifest = await loadManifest(store, of);
  return { store, dataset, of, key: locationKey(of) };
}

const flipped = (at: number) => (bytes: Buffer) => {
  const changed = Buffer.from(bytes);
  changed[at < 0 ? changed.length + at : at]! ^= 1;
  return changed;
};

const damages: Record<string, (bytes: Buffer) => Buffer> = {
  'is cut off': (bytes) => bytes.subarray(0, bytes.length >> 1),
  'is empty': () => Buffer.alloc(0),
  'has a changed path': flipped(12),
  'has a changed name of a field': flipped(2),
  'has a changed hash': flipped(-5),
  'is another object': () => Buffer.from('[1,2,3]'),
  'names a number': () => Buffer.from('{"path":7}'),
  'names a folder and a store': () => Buffer.from('{"path":"/a","store":"s3://b/c"}'),
  'is null': () => Buffer.from('null'),
  'is too large': () => Buffer.alloc(1 << 17, 32),
  'is no text': () => Buffer.from([0xff, 0xfe, 0x00, 0x9c]),
};

describe('where the location of a data set', () => {
  for (const [what, damage] of Object.entries(damages))
    test(what, async () => {
      const { store, dataset, of, key } = await indexedStore();
      await store.put(key, damage((await store.get(key)).bytes));
      const sources = await DataSources.open({ store, roots });
      await assert.rejects(sources.find('default', manifest), (error) => {
        assert.ok(error instanceof DataLoss, String(error));
        assert.ok(
          error.message.startsWith(`${key} is damaged: `) && /run `dropstream data index` .* again/.test(error.message),
          error.message,
        );
        return true;
      });
      // A root that is the data set's own folder needs no location, and what was pushed does not either.
      const itself = await DataSources.open({ store, roots: await AllowedRoots.open([birds]) });
      await (await itself.find('default', manifest)).close();
      await pushDataset(manifest, new LocalTree(birds), store);
      await (await sources.find('default', manifest)).close();
      await saveManifest(store, dataset, 'default');
      assert.deepEqual(await readLocation(store, of, undefined), { path: dataset.folder });
    });
});

test('a location that is lost is named too', async () => {
  const { store, key } = await indexedStore();
  await store.delete(key);
  const sources = await DataSources.open({ store, roots });
  await assert.rejects(sources.find('default', manifest), (error) => {
    assert.ok(error instanceof FailedPrecondition, String(error));
    assert.ok(error.message.includes(`${key}, which says where it was indexed, is missing: run \`dropstream data index\``), error.message);
    return true;
  });
});

test('a location reads back as it was written, also those of earlier versions', async () => {
  const { store, of } = await indexedStore();
  for (const place of ['/data/ä "b"', 's3://bucket/some/prefix?endpoint=http://127.0.0.1:9000']) {
    await saveLocation(store, of, place);
    const expected = place.startsWith('s3:') ? { store: place } : { path: place };
    assert.deepEqual(await readLocation(store, of, undefined), expected);
    assert.deepEqual(parseLocation(Buffer.from(JSON.stringify(expected))), expected);
  }
});
