/** Manifests of entries that a test makes up; data sets build theirs entry by entry while they read. */
import { createHash } from 'node:crypto';
import { ManifestBuilder, type ManifestEntry, type ManifestFacts } from '#data/manifest/manifest-builder.js';

/** The bytes of a manifest of these entries and the SHA-256 that names it. */
export function encodeManifest({ entries, ...facts }: ManifestFacts & { readonly entries: Iterable<ManifestEntry> }): {
  bytes: Uint8Array;
  sha256: string;
} {
  const builder = new ManifestBuilder(facts.kind === 'image_folder');
  for (const entry of entries) builder.add(entry);
  const bytes = builder.bytes(facts);
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}
