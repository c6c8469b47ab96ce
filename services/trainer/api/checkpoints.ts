/** Reads the checkpoints of a run: those that are in its log and still in the store. */

import { NotFound } from '#errors/errors.js';
import type { Checkpoint } from '#protocol/dropstream/v1/trainer.js';
import { listCheckpoints, presignCheckpoint, readManifest } from '#storage/checkpoint.js';
import type { CheckpointManifest } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { checkpointsOf, manifestKeyOf } from '#work/checkpoint-keys.js';
import { Incarnations } from '#work/incarnations.js';
import { findCheckpoint } from '#work/named-checkpoints.js';
import type { RunView } from '../run/run-state.js';

/** A run's checkpoints in the order of the log, newest first: those that are still in the store. */
export async function storedCheckpoints(
  store: ObjectStore,
  view: RunView,
  signal: AbortSignal,
): Promise<{ id: string; sequence: number }[]> {
  const stored = new Set((await listCheckpoints(store, checkpointsOf(view.run.name, view.run.uid), { signal })).map(({ id }) => id));
  return view.checkpoints.map(({ name, sequence }) => ({ id: idOf(name), sequence })).filter(({ id }) => stored.has(id));
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
  const own = await checkpointOf(store, name, view.run.uid, manifest, expirySeconds);
  return { ...own, top1: view.top1ByCheckpoint[name], best: view.run.bestCheckpoint === name };
}

/** Reads a checkpoint of imported weights, whose run has no log. @throws NotFound; CheckpointDamaged */
export async function describeImported(store: ObjectStore, name: string, signal: AbortSignal, expirySeconds: number): Promise<Checkpoint> {
  const found = await findCheckpoint(store, new Incarnations(store), name, signal);
  const { manifest } = await readManifest(store, found.manifestKey, { signal }).catch((cause) => {
    throw cause instanceof ObjectNotFound ? new NotFound('checkpoint', name, { cause }) : cause;
  });
  return await checkpointOf(store, found.name, found.runUid, manifest, expirySeconds);
}

async function checkpointOf(
  store: ObjectStore,
  name: string,
  runUid: string,
  manifest: CheckpointManifest,
  expirySeconds: number | undefined,
): Promise<Checkpoint> {
  const urls = expirySeconds === undefined ? [] : await presignCheckpoint(store, manifest, expirySeconds);
  return {
    name,
    step: BigInt(manifest.step),
    epoch: Math.floor(manifest.epoch),
    files: filesOf(manifest).map((file, k) => ({ ...file, url: urls[k]?.url ?? '' })),
    fingerprint: manifest.fingerprint,
    top1: undefined,
    best: false,
    runUid,
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
