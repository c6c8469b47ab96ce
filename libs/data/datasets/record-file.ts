/** A file of records of one size, plain or .gz: small and packed ones are held in memory, large ones read record by record. */
import type { FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { invalid } from '#errors/errors.js';
import { mistakenDownload } from '#errors/mistaken-download.js';
import { openRegularFile } from './regular-file.js';

const HELD_BYTES = 64 << 20;
/** Largest size after unpacking: more than ten times the largest file of the formats here. */
const MAX_RECORD_FILE_BYTES = 2 ** 31 - 1;

/** How long a file is by its own beginning. `head`: its first bytes, unpacked; all of them where it has fewer than HEAD_BYTES. */
export type DeclaredBytes = (head: Uint8Array) => number;
const HEAD_BYTES = 64;

/**
 * The whole file, unpacked where its name ends in .gz: to the size that it declares and no further.
 * @throws InvalidArgument with the file's name where it is no regular file, does not unpack, or is longer than declared; whatever `declared` throws
 */
export async function readRecordFile(path: string, declared: DeclaredBytes = () => MAX_RECORD_FILE_BYTES): Promise<Buffer> {
  const file = await openRegularFile(path).catch((cause) => refuse(path, cause));
  try {
    if (path.endsWith('.gz')) return await unpacked(path, file, declared);
    const { size } = await file.stat();
    if (size > MAX_RECORD_FILE_BYTES) throw invalid('data_path', path, `a file of at most ${MAX_RECORD_FILE_BYTES} bytes; it has ${size}`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function unpacked(path: string, file: FileHandle, declared: DeclaredBytes): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  let most: number | undefined;
  const check = (): void => {
    most ??= Math.min(declared(Buffer.concat(parts)), MAX_RECORD_FILE_BYTES);
    if (bytes > most) throw invalid('data_path', path, `a file that unpacks to the ${most} bytes that its header declares, and no more`);
  };
  const gunzip = createGunzip();
  let refusal: { readonly error: unknown } | undefined;
  await pipeline(file.createReadStream({ autoClose: false }), gunzip, async (chunks) => {
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      parts.push(chunk);
      bytes += chunk.byteLength;
      try {
        if (bytes >= HEAD_BYTES) check();
      } catch (error) {
        refusal = { error };
        throw error;
      }
    }
  }).catch(async (error: NodeJS.ErrnoException) => {
    // Leaving a stream that has more to give ends the pipeline with an error of its own.
    if (refusal) throw refusal.error;
    if (!error.code?.startsWith('Z_')) throw error;
    const { bytesRead, buffer } = await file.read(Buffer.alloc(512), 0, 512, 0);
    throw invalid('data_path', path, `a whole .gz file (${mistakenDownload(buffer.subarray(0, bytesRead)) ?? error.message})`);
  });
  check();
  return Buffer.concat(parts, bytes);
}

function refuse(path: string, cause: unknown): never {
  throw invalid('data_path', path, `a file that can be read (${(cause as Error).message})`);
}

export class RecordFile {
  private constructor(
    private readonly held: Buffer | undefined,
    private readonly file: FileHandle | undefined,
  ) {}

  /**
   * To be closed by the caller.
   * @param mostBytes what it can have at most after unpacking
   */
  static async open(path: string, mostBytes = MAX_RECORD_FILE_BYTES): Promise<RecordFile> {
    if (path.endsWith('.gz')) return new RecordFile(await readRecordFile(path, () => mostBytes), undefined);
    const file = await openRegularFile(path);
    if ((await file.stat()).size > HELD_BYTES) return new RecordFile(undefined, file);
    try {
      return new RecordFile(await file.readFile(), undefined);
    } finally {
      await file.close();
    }
  }

  /** Fewer bytes than asked for where the file ends before. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.held) return this.held.subarray(offset, offset + length);
    const { bytesRead, buffer } = await this.file!.read(Buffer.allocUnsafe(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  }

  async close(): Promise<void> {
    await this.file?.close();
  }
}
