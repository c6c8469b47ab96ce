/** What the rules of a run spec ask about data sets, read from their manifests in the store. Manifests never change: facts are kept. */

import { RecentMap } from '#bounds/recent-map.js';
import type { ManifestExtent } from '#data/manifest/manifest.js';
import { loadManifest } from '#data/manifest/manifest-store.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { DatasetFacts } from '../run/run-spec.js';

export interface KnownDataset extends DatasetFacts {
  readonly extent: ManifestExtent;
}

const kept = 64;

export class Datasets {
  readonly #known = new RecentMap<string, KnownDataset>(kept);

  constructor(private readonly store: ObjectStore) {}

  /** @throws NotFound where the store has no such manifest; DataLoss where its bytes are not what its name says */
  async facts(manifest: string, signal: AbortSignal): Promise<KnownDataset> {
    const known = this.#known.get(manifest);
    if (known) return known;
    const loaded = await loadManifest(this.store, manifest, signal);
    const facts = { samples: loaded.samples, classes: loaded.classes, extent: loaded.extent };
    this.#known.set(manifest, facts);
    return facts;
  }
}
