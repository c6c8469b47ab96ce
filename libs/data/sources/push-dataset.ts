/** Uploads the files of an indexed data set to a store, by their content: what is there already is left as it is, so a stopped push goes on. */
import { Aborted, invalid } from '#errors/errors.js';
import { sha256Of } from '#storage/content-hash.js';
import { listAll, MAX_GET_BYTES, type ObjectStore } from '#storage/object-store.js';
import type { FileTree } from '../datasets/file-tree.js';
import type { Manifest } from '../manifest/manifest.js';
import { Uint32List } from '../manifest/uint32-list.js';
import { pushedKey, pushedPrefix } from './object-keys.js';

export interface PushOptions {
  readonly signal?: AbortSignal | undefined;
  /** Files looked at so far, of all; bytes uploaded. */
  readonly onProgress?: ((done: number, total: number, uploadedBytes: number) => void) | undefined;
}

export interface Pushed {
  readonly files: number;
  readonly uploaded: number;
  readonly uploadedBytes: number;
}

/** Files in memory at a time. */
const PARALLEL_IMAGES = 16;
const PARALLEL_SHARDS = 2;
const STARTS = 256;

interface PushedFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

/** @throws InvalidArgument (records, shards that are too large), Aborted (a file has changed since it was indexed), StoreUnavailable */
export async function pushDataset(manifest: Manifest, tree: FileTree, store: ObjectStore, options: PushOptions = {}): Promise<Pushed> {
  const { signal, onProgress } = options;
  if (manifest.layout)
    throw invalid('data_set', manifest.kind, 'image_folder or tar: the few files of other kinds are copied to each machine');
  const shards = manifest.kind === 'tar';
  const files = shards ? manifest.files.length : manifest.samples;
  // Grouped by the beginning of their names, so that one listing tells what is there of a group.
  const groups = Array.from({ length: STARTS }, () => new Uint32List(16));
  for (let i = 0; i < files; i++) groups[Number.parseInt(fileAt(manifest, i).sha256.slice(0, 2), 16)]!.push(i);
  let [next, done, uploaded, uploadedBytes] = [0, 0, 0, 0];
  const work = async (): Promise<void> => {
    for (let start = next++; start < STARTS; start = next++) {
      const group = groups[start] as Uint32List;
      if (group.length === 0) continue;
      const there = new Map<string, number>();
      const prefix = pushedPrefix(start.toString(16).padStart(2, '0'));
      for await (const { key, sizeBytes } of listAll(store, prefix, { signal })) there.set(key, sizeBytes);
      for (const index of group.values) {
        signal?.throwIfAborted();
        const file = fileAt(manifest, index);
        const key = pushedKey(file.sha256);
        if (there.get(key) !== file.sizeBytes) {
          await store.put(key, await readWhole(tree, file, signal), { signal });
          there.set(key, file.sizeBytes);
          uploaded++;
          uploadedBytes += file.sizeBytes;
        }
        onProgress?.(++done, files, uploadedBytes);
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: shards ? PARALLEL_SHARDS : PARALLEL_IMAGES }, work));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
  return { files, uploaded, uploadedBytes };
}

function fileAt(manifest: Manifest, index: number): PushedFile {
  if (manifest.kind === 'tar') return manifest.shard(index);
  const sha256 = Buffer.from(manifest.hash(index)).toString('hex');
  return { path: manifest.path(index), sizeBytes: manifest.byteLengths[index] as number, sha256 };
}

/** The bytes that were indexed. */
async function readWhole(tree: FileTree, { path, sizeBytes, sha256 }: PushedFile, signal: AbortSignal | undefined): Promise<Buffer> {
  if (sizeBytes > MAX_GET_BYTES) throw invalid('data_path', path, `files of at most ${MAX_GET_BYTES} bytes; this one has ${sizeBytes}`);
  const bytes = await tree.read(path, 0, sizeBytes, signal);
  if (bytes.byteLength !== sizeBytes || (await sha256Of(bytes, signal)) !== sha256)
    throw new Aborted('file', `${tree.place}/${path}`, 'it has changed since it was indexed a moment ago; push again');
  return bytes;
}
