/** Reads the facts about data sets that the rules of a run spec need. They are cached, because manifests never change. */

import { RecentMap } from '#bounds/recent-map.js';
import type { ManifestExtent } from '#data/manifest/manifest.js';
import type { ProjectManifest } from '#data/manifest/manifest-location.js';
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

  /** @throws NotFound if the project has no such manifest; DataLoss if its bytes do not match its SHA-256 */
  async facts(manifest: ProjectManifest, signal: AbortSignal): Promise<KnownDataset> {
    const key = `${manifest.project}/${manifest.sha256}`;
    const known = this.#known.get(key);
    if (known) return known;
    const loaded = await loadManifest(this.store, manifest, signal);
    const facts = { samples: loaded.samples, classes: loaded.classes, extent: loaded.extent };
    this.#known.set(key, facts);
    return facts;
  }
}
