/** Stores the manifest of a data set for every project that tests create runs in. */
import type { IndexedDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import type { ObjectStore } from '#storage/object-store.js';

const projects = ['default', 'p', 'q', 'test', 'chaos', 'filters', 'pages', 'labels', 'damage'];

export async function saveForProjects(store: ObjectStore, dataset: IndexedDataset): Promise<void> {
  for (const project of projects) await saveManifest(store, dataset, project);
}
