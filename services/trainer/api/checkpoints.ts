/** Reads the checkpoints of a run: those that are in its log and still in the store. */

import { NotFound } from '#errors/errors.js';
import type { Checkpoint } from '#protocol/dropstream/v1/trainer.js';
import { listCheckpoints, presignCheckpoint, readManifest } from '#storage/checkpoint.js';
import type { CheckpointManifest } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { checkpointsOf, manifestKeyOf } from '#work/checkpoint-keys.js';
import type { RunView } from '../run/run-state.js';

/** Ids of a run's checkpoints, newest first. */
export async function checkpointIds(store: ObjectStore, view: RunView, signal: AbortSignal): Promise<string[]> {
  const known = new Set(view.checkpoints.map(({ name }) => idOf(name)));
  const stored = await listCheckpoints(store, checkpointsOf(view.run.name, view.run.uid), { signal });
  return stored.map(({ id }) => id).filter((id) => known.has(id));
}

/** Resolves `latest` and `best`; other ids stay unchanged. @throws NotFound if there is no such checkpoint yet */
export function resolveAlias(view: RunView, id: string): string {
  if (id !== 'latest' && id !== 'best') return id;
  const name = id === 'latest' ? view.run.latestCheckpoint : view.run.bestCheckpoint;
  if (name === '') throw new NotFound('checkpoint', `${view.run.name}/checkpoints/${id}`);
  return idOf(name);
}

/** Reads one checkpoint. @param expirySeconds if given, files get URLs that are valid for this time. @throws NotFound; CheckpointDamaged */
export async function describeCheckpoint(
  store: ObjectStore,
  view: RunView,
  id: string,
  signal: AbortSignal,
  expirySeconds?: number,
): Promise<Checkpoint> {
  const name = `${view.run.name}/checkpoints/${id}`;
  const unknown = (cause?: unknown): NotFound => new NotFound('checkpoint', name, { cause });
  if (!view.checkpoints.some((known) => known.name === name)) throw unknown();
  const { manifest } = await readManifest(store, manifestKeyOf(name, view.run.uid), { signal }).catch((error) => {
    throw error instanceof ObjectNotFound ? unknown(error) : error;
  });
  const urls = expirySeconds === undefined ? [] : await presignCheckpoint(store, manifest, expirySeconds);
  return {
    name,
    step: BigInt(manifest.step),
    epoch: Math.floor(manifest.epoch),
    files: filesOf(manifest).map((file, k) => ({ ...file, url: urls[k]?.url ?? '' })),
    fingerprint: manifest.fingerprint,
    top1: view.top1ByCheckpoint[name],
    best: view.run.bestCheckpoint === name,
    runUid: view.run.uid,
  };
}

function filesOf({ parts }: CheckpointManifest) {
  const seen = new Map<string, number>();
  const split = new Set(parts.map(({ group }) => group).filter((group, k, all) => all.indexOf(group) !== k));
  return parts.map(({ group, key, sizeBytes, sha256 }) => {
    const number = (seen.get(group) ?? 0) + 1;
    seen.set(group, number);
    const role = split.has(group) ? `${group}-${number}` : group;
    return { role, key, sizeBytes: BigInt(sizeBytes), sha256: Buffer.from(sha256, 'hex') };
  });
}

const idOf = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
