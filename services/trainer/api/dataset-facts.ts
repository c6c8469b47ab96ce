/** What the rules of a run spec ask about data sets, read from their manifests in the store. Manifests never change: facts are kept. */

import type { ManifestExtent } from '#data/manifest/manifest.js';
import { loadManifest } from '#data/manifest/manifest-store.js';
import { FailedPrecondition, NotFound } from '#errors/errors.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { DatasetFacts } from '../run/run-spec.js';

export interface KnownDataset extends DatasetFacts {
  readonly extent: ManifestExtent;
}

const kept = 64;

export class Datasets {
  readonly #known = new Map<string, KnownDataset>();

  constructor(private readonly store: ObjectStore) {}

  /** @throws NotFound where the store has no such manifest; DataLoss where its bytes are not what its name says */
  async facts(manifest: string, signal: AbortSignal): Promise<KnownDataset> {
    const known = this.#known.get(manifest);
    if (known) return known;
    const loaded = await loadManifest(this.store, manifest, signal).catch((cause) => {
      // To the loading replica a missing manifest is a precondition; to who names it, it does not exist.
      throw cause instanceof FailedPrecondition ? new NotFound('manifest', manifest, { cause }) : cause;
    });
    const facts = { samples: loaded.samples, classes: loaded.classes, extent: loaded.extent };
    this.#known.set(manifest, facts);
    if (this.#known.size > kept) this.#known.delete(this.#known.keys().next().value as string);
    return facts;
  }
}
