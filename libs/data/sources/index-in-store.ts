/** Indexes a data set where it lies in an object store: class folders of images, or tar shards. */
import { invalid } from '#errors/errors.js';
import type { ObjectStore } from '#storage/object-store.js';
import { finishIndex, type IndexedDataset, type IndexOptions, throttled } from '../datasets/index-dataset.js';
import { indexImageFolder } from '../datasets/index-image-folder.js';
import { IndexMemory } from '../datasets/index-memory.js';
import { chooseShards, haveShards, indexTarShards } from '../datasets/index-tar.js';
import { StoreTree } from './store-tree.js';

/** `store` is opened at the folder itself, so there are no splits. @throws InvalidArgument, StoreUnavailable, the signal's reason */
export async function indexInStore(store: ObjectStore, options: Omit<IndexOptions, 'split'> = {}): Promise<IndexedDataset> {
  const tree = new StoreTree(store);
  const { folders, files } = await tree.list(options.signal);
  const kind = options.kind ?? (folders.length === 0 && haveShards(files) ? 'tar' : 'image_folder');
  if (kind !== 'tar' && kind !== 'image_folder') throw invalid('data_set', kind, 'image_folder or tar in a store');
  const memory = options.memory === undefined ? undefined : await IndexMemory.open(options.memory, store.uri);
  const rest = { ...options, memory, onProgress: throttled(options.onProgress) };
  const found = kind === 'tar' ? await indexTarShards(tree, chooseShards(files, '', store.uri), rest) : await indexImageFolder(tree, rest);
  return await finishIndex(kind, '', { folder: store.uri, ...found }, options);
}
