/**
 * Reads several whole files into memory that the caller provides, in one job on a thread of libuv's pool. node:fs needs five such jobs and
 * new memory for each file, which cost a data replica more time than the reading itself.
 */
import { getSystemErrorMap } from 'node:util';
import { loadAddon } from './addon.js';

export interface FileToRead {
  readonly path: string;
  readonly sizeBytes: number;
}

/** `other_size` gives the size that was found; `failed` gives a reason such as 'ENOENT: no such file or directory'. */
export type FileOutcome =
  | { readonly kind: 'read'; readonly bytes: Uint8Array }
  | { readonly kind: 'outside' }
  | { readonly kind: 'other_size'; readonly sizeBytes: number }
  | { readonly kind: 'failed'; readonly reason: string };

export interface ReadFilesOptions {
  /** Real paths of the folders that must contain the files after their links are resolved. */
  readonly folders: readonly string[];
  /** Provides memory for all files; the results are views of it. Default: new memory. Once the promise is settled, nothing writes to it. */
  readonly allocate?: ((bytes: number) => Uint8Array) | undefined;
  /** When it aborts, files that have not been begun are not read. */
  readonly signal?: AbortSignal | undefined;
}

/** A file that cannot be read does not affect the others; its outcome says why. @throws the signal's reason; TypeError if the memory is too small */
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
