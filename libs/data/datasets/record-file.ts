/** A file of records of one size, plain or .gz: small and packed ones are held in memory, large ones read record by record. */
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

const unpack = promisify(gunzip);
const HELD_BYTES = 64 << 20;
/** Largest size after unpacking: more than ten times the largest file of the formats here. */
const MAX_RECORD_FILE_BYTES = 2 ** 31 - 1;

/** The whole file, unpacked where its name ends in .gz. */
export async function readRecordFile(path: string): Promise<Buffer> {
  const bytes = await readFile(path);
  return path.endsWith('.gz') ? unpack(bytes, { maxOutputLength: MAX_RECORD_FILE_BYTES }) : bytes;
}

export class RecordFile {
  private constructor(
    private readonly held: Buffer | undefined,
    private readonly file: FileHandle | undefined,
  ) {}

  /** To be closed by the caller. */
  static async open(path: string): Promise<RecordFile> {
    const held = path.endsWith('.gz') || (await stat(path)).size <= HELD_BYTES;
    return held ? new RecordFile(await readRecordFile(path), undefined) : new RecordFile(undefined, await open(path, 'r'));
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
