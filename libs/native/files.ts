/**
 * Reads whole files into memory that is there, several in one job on a thread of libuv's pool: node:fs takes five such jobs and fresh memory
 * for each file, which cost a data replica more than the reading.
 */
import { getSystemErrorMap } from 'node:util';
import { loadAddon } from './addon.js';

export interface FileToRead {
  readonly path: string;
  readonly sizeBytes: number;
}

/** `other_size`: with what was found; `failed`: 'ENOENT: no such file or directory'. */
export type FileOutcome =
  | { readonly kind: 'read'; readonly bytes: Uint8Array }
  | { readonly kind: 'outside' }
  | { readonly kind: 'other_size'; readonly sizeBytes: number }
  | { readonly kind: 'failed'; readonly reason: string };

export interface ReadFilesOptions {
  /** Real paths of the folders that the files, links resolved, must be in. */
  readonly folders: readonly string[];
  /** Gives memory for all files, which views of it are returned of; default: fresh. It is not written any more when the promise is settled. */
  readonly allocate?: ((bytes: number) => Uint8Array) | undefined;
  /** Files not begun are left. */
  readonly signal?: AbortSignal | undefined;
}

/** A file that cannot be read fails no other: see its outcome. @throws the signal's reason; TypeError where the memory is too small */
export async function readFiles(
  files: readonly FileToRead[],
  { folders, allocate = Buffer.allocUnsafeSlow, signal }: ReadFilesOptions,
): Promise<FileOutcome[]> {
  signal?.throwIfAborted();
  const memory = allocate(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  const cancel = new Uint8Array(1);
  const abort = (): void => {
    cancel[0] = 1;
  };
  signal?.addEventListener('abort', abort, { once: true });
  const sizes = Float64Array.from(files, ({ sizeBytes }) => sizeBytes);
  const paths = files.map(({ path }) => path);
  const values = await loadAddon()
    .readFiles(paths, sizes, [...folders], memory, cancel)
    .finally(() => signal?.removeEventListener('abort', abort));
  signal?.throwIfAborted();
  let at = 0;
  return files.map(({ sizeBytes }, i) => {
    const bytes = memory.subarray(at, at + sizeBytes);
    at += sizeBytes;
    return outcomeOf(values[2 * i] as number, values[2 * i + 1] as number, bytes);
  });
}

/** FileOutcome of files/read-file.h. */
function outcomeOf(status: number, found: number, bytes: Uint8Array): FileOutcome {
  if (status === 0) return { kind: 'read', bytes };
  if (status === -1) return { kind: 'outside' };
  if (status === -2) return { kind: 'other_size', sizeBytes: found };
  const [code, message] = getSystemErrorMap().get(-status) ?? [`errno ${status}`, 'unknown system error'];
  return { kind: 'failed', reason: `${code}: ${message}` };
}
