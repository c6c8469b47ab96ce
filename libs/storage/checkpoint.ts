import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path/posix';
import {
  CheckpointDamaged,
  type CheckpointManifest,
  type CheckpointPart,
  type CheckpointState,
  decodeManifest,
  encodeManifest,
  FORMAT_VERSION,
  GROUPS,
  type Group,
  MAX_MANIFEST_BYTES,
} from './checkpoint-manifest.js';
import { sha256Of } from './content-hash.js';
import { createExclusive } from './exclusive-create.js';
import {
  type GetOptions,
  listAll,
  ObjectExists,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  type SignalOption,
  StorageError,
  StoreFull,
  sizeOf,
} from './object-store.js';
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from './safetensors.js';
import type { Tensor } from './tensor.js';

/** Everything that a run needs to continue from the end of an optimizer step. The tensors must not change while they are saved. */
export interface CheckpointSnapshot extends CheckpointState {
  weights: readonly Tensor[];
  ema?: readonly Tensor[];
  optimizer?: readonly Tensor[];
}

export interface SavedCheckpoint {
  /** `<step, 12 digits>-<short id>`: the checkpoint's name below its prefix. */
  id: string;
  step: number;
  manifestKey: string;
  manifestSha256: string;
  manifest: CheckpointManifest;
  sizeBytes: number;
}

export interface LoadedCheckpoint {
  manifestKey: string;
  manifestSha256: string;
  manifest: CheckpointManifest;
  /** Contains the requested groups that the checkpoint has. */
  tensors: { [group in Group]?: Tensor[] };
}

export interface CheckpointName {
  id: string;
  step: number;
  manifestKey: string;
}

export interface SaveOptions extends SignalOption {
  /** Largest part in bytes; every tensor must fit into one. Default 1 GiB − 16 MiB. */
  maxPartBytes?: number;
  /** Called after each part. */
  onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Makes each write, which may be repeated. Default: once. */
  write?: <T>(write: () => Promise<T>) => Promise<T>;
}

const MANIFEST = 'manifest.json';
const DEFAULT_PART_BYTES = (1 << 30) - (16 << 20);
const ID = /^(\d{12})-[0-9a-f]{8}$/;

/**
 * Writes the parts, and then creates the manifest exclusively in one request; until then, nobody sees the checkpoint. Each save has a folder of its
 * own, so the save of a former owner cannot mix with its successor's save of the same step. The run's log decides which one counts.
 * @param prefix projects/P/runs/R/checkpoints
 */
export async function saveCheckpoint(
  store: ObjectStore,
  prefix: string,
  snapshot: CheckpointSnapshot,
  options: SaveOptions = {},
): Promise<SavedCheckpoint> {
  const { signal, maxPartBytes = DEFAULT_PART_BYTES, onProgress, write = (once) => once() } = options;
  const { weights, ema, optimizer, ...state } = snapshot;
  const id = `${String(state.step).padStart(12, '0')}-${randomBytes(4).toString('hex')}`;
  const groups = { weights, ema, optimizer };
  const pieces = GROUPS.flatMap((group) => (groups[group] === undefined ? [] : splitParts(group, groups[group], maxPartBytes)));
  const totalBytes = pieces.reduce((sum, { tensors }) => sum + dataBytes(tensors), 0);
  const parts: CheckpointPart[] = [];
  let doneBytes = 0;
  try {
    for (const { group, index, tensors } of pieces) {
      const file = encodeSafetensors(tensors, { format: 'pt' });
      const sha256 = await sha256Of(file, signal);
      const key = `${prefix}/${id}/${group}${index === 0 ? '' : `-${index + 1}`}.${sha256.slice(0, 16)}.safetensors`;
      await write(() => store.put(key, file, { signal }));
      parts.push({ group, key, sha256, sizeBytes: sizeOf(file), tensors: tensors.map(({ name }) => name) });
      doneBytes += dataBytes(tensors);
      onProgress?.(doneBytes, totalBytes);
    }
  } catch (error) {
    // Without room, what was already written must not take the place of the next attempt. Otherwise it is left to retention.
    if (error instanceof StoreFull) for (const { key } of parts) await store.delete(key, { signal }).catch(() => undefined);
    throw error;
  }
  const manifest: CheckpointManifest = { formatVersion: FORMAT_VERSION, ...state, parts };
  const encoded = encodeManifest(manifest);
  const manifestKey = `${prefix}/${id}/${MANIFEST}`;
  const create = () => createExclusive(store, manifestKey, encoded.bytes, { contentType: 'application/json', signal });
  if ((await write(create)) === 'exists') {
    throw new ObjectExists(manifestKey);
  }
  return {
    id,
    step: state.step,
    manifestKey,
    manifestSha256: encoded.sha256,
    manifest,
    sizeBytes: parts.reduce((sum, part) => sum + part.sizeBytes, 0),
  };
}

const dataBytes = (tensors: readonly Tensor[]): number => tensors.reduce((sum, { data }) => sum + data.byteLength, 0);

function splitParts(group: Group, tensors: readonly Tensor[], maxPartBytes: number): { group: Group; index: number; tensors: Tensor[] }[] {
  const parts: Tensor[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (tensor.data.byteLength > maxPartBytes)
      throw new StorageError(`tensor ${tensor.name} has ${tensor.data.byteLength} bytes, a part may have at most ${maxPartBytes}`);
    if (bytes + tensor.data.byteLength > maxPartBytes) {
      parts.push([]);
      bytes = 0;
    }
    parts[parts.length - 1]!.push(tensor);
    bytes += tensor.data.byteLength;
  }
  return parts.map((part, index) => ({ group, index, tensors: part }));
}

/** Reads and checks the manifest only. @throws ObjectNotFound(manifestKey), CheckpointDamaged */
export async function readManifest(
  store: ObjectStore,
  manifestKey: string,
  { signal }: SignalOption = {},
): Promise<{ manifest: CheckpointManifest; sha256: string }> {
  const bytes = await getBounded(store, manifestKey, `at most ${MAX_MANIFEST_BYTES} bytes`, MAX_MANIFEST_BYTES, { signal });
  const decoded = decodeManifest(manifestKey, bytes);
  // A manifest must not give its author access to objects elsewhere in the store.
  const folder = `${dirname(manifestKey)}/`;
  const outside = decoded.manifest.parts.find(({ key }) => !key.startsWith(folder) || key.slice(folder.length).includes('/'));
  if (outside) throw new CheckpointDamaged(manifestKey, `parts below ${folder}`, outside.key);
  return decoded;
}

type PartOptions = Pick<GetOptions, 'allocate' | 'signal'>;

interface LoadOptions extends PartOptions {
  /** Default: all. An evaluation requests only weights or ema. */
  groups?: readonly Group[];
}

/**
 * Reads a checkpoint and checks the SHA-256 of everything that it reads.
 * @throws ObjectNotFound(manifestKey) if there is no such checkpoint or it is deleted meanwhile; CheckpointDamaged names the part
 */
export async function loadCheckpoint(
  store: ObjectStore,
  manifestKey: string,
  { groups = GROUPS, ...options }: LoadOptions = {},
): Promise<LoadedCheckpoint> {
  const { manifest, sha256 } = await readManifest(store, manifestKey, options);
  const tensors: LoadedCheckpoint['tensors'] = {};
  for (const part of manifest.parts) {
    if (!groups.includes(part.group)) continue;
    tensors[part.group] = [...(tensors[part.group] ?? []), ...(await loadPart(store, manifestKey, part, options))];
  }
  return { manifestKey, manifestSha256: sha256, manifest, tensors };
}

async function loadPart(store: ObjectStore, manifestKey: string, part: CheckpointPart, options: PartOptions): Promise<Tensor[]> {
  let bytes: Buffer;
  try {
    bytes = await getBounded(store, part.key, part.sha256, part.sizeBytes, options);
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error;
    await store.head(manifestKey, { signal: options.signal });
    throw new CheckpointDamaged(part.key, part.sha256, 'nothing', error);
  }
  const actual = await sha256Of(bytes, options.signal);
  if (actual !== part.sha256) throw new CheckpointDamaged(part.key, part.sha256, actual);
  try {
    return decodeSafetensors(bytes).tensors;
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
    throw new CheckpointDamaged(part.key, 'a safetensors file', error.message, error);
  }
}

/** An object larger than its bound counts as damaged, so that the search for a valid checkpoint goes on. */
async function getBounded(store: ObjectStore, key: string, expected: string, maxBytes: number, options: PartOptions): Promise<Buffer> {
  try {
    return (await store.get(key, { maxBytes, ...options })).bytes;
  } catch (error) {
    if (error instanceof ObjectTooLarge) throw new CheckpointDamaged(key, expected, `${error.sizeBytes} bytes`, error);
    throw error;
  }
}

/**
 * Returns the first valid checkpoint of a list that is sorted from new to old.
 * @param onDamaged called for every checkpoint that is skipped because it is damaged or deleted
 * @returns undefined if none is valid
 */
export async function loadLatestValid(
  store: ObjectStore,
  manifestKeys: readonly string[],
  onDamaged: (manifestKey: string, error: CheckpointDamaged | ObjectNotFound) => void | Promise<void>,
  options: LoadOptions = {},
): Promise<LoadedCheckpoint | undefined> {
  for (const manifestKey of manifestKeys) {
    try {
      return await loadCheckpoint(store, manifestKey, options);
    } catch (error) {
      if (!(error instanceof CheckpointDamaged || error instanceof ObjectNotFound)) throw error;
      await onDamaged(manifestKey, error);
    }
  }
  return undefined;
}

/** The committed checkpoints below a prefix, by step, newest first. */
export async function listCheckpoints(store: ObjectStore, prefix: string, options: SignalOption = {}): Promise<CheckpointName[]> {
  return (await listFolders(store, prefix, options.signal))
    .filter(({ committed }) => committed)
    .map(({ id, step, manifestKey }) => ({ id, step, manifestKey }));
}

/** All objects of one save, even of one that failed. */
export interface CheckpointFolder extends CheckpointName {
  /** Whether the manifest exists. */
  committed: boolean;
  /** All keys except the manifest's. */
  keys: string[];
  /** Time at which the newest object was written, in ms of the store's clock. */
  newestMs: number;
}

/** Sorted by step, newest first. */
export async function listFolders(store: ObjectStore, prefix: string, signal?: AbortSignal): Promise<CheckpointFolder[]> {
  const folders = new Map<string, CheckpointFolder>();
  for await (const { key, lastModified } of listAll(store, `${prefix}/`, { signal })) {
    const id = key.slice(prefix.length + 1).split('/')[0]!;
    const step = ID.exec(id)?.[1];
    if (step === undefined) continue;
    const manifestKey = `${prefix}/${id}/${MANIFEST}`;
    const folder: CheckpointFolder = folders.get(id) ?? { id, step: Number(step), manifestKey, committed: false, keys: [], newestMs: 0 };
    folders.set(id, folder);
    if (key === manifestKey) folder.committed = true;
    else folder.keys.push(key);
    folder.newestMs = Math.max(folder.newestMs, lastModified.getTime());
  }
  return [...folders.values()].sort((a, b) => b.step - a.step || (a.id < b.id ? 1 : -1));
}

/** A URL for each part of a checkpoint, with the hashes to check its bytes. */
export async function presignCheckpoint(store: ObjectStore, manifest: CheckpointManifest, expirySeconds: number) {
  return Promise.all(
    manifest.parts.map(async ({ group, key, sha256, sizeBytes }) => ({
      group,
      name: key.slice(dirname(key).length + 1),
      url: await store.presignGet(key, expirySeconds),
      sha256,
      sizeBytes,
    })),
  );
}
