import { type FileHandle, open } from 'node:fs/promises';
import { InterchangeError } from './interchange-error.js';

/** Bytes that can be read anywhere; whoever opened it closes it. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Exactly these bytes. The range must lie within the source: readers check it against sizeBytes before they ask. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export const bytesSource = (bytes: Uint8Array): ByteSource => ({
  sizeBytes: bytes.byteLength,
  // Not subarray: a Buffer's would be a Buffer, whose slice does not copy as a Uint8Array's does.
  read: async (offset, length) => new Uint8Array(bytes.buffer, bytes.byteOffset + offset, length),
});

export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** One read of a file asks for at most this much, since the operating system's own limit lies just below 2 GiB. */
const STRETCH_BYTES = 1 << 30;

/** @throws InterchangeError where there is no such file, or it is a folder */
export async function openFileSource(path: string): Promise<FileSource> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (cause) {
    throw new InterchangeError(`file ${JSON.stringify(path)} cannot be read: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new InterchangeError(`${JSON.stringify(path)} is not a file`);
    return {
      sizeBytes: stat.size,
      async read(offset, length) {
        // Own memory, so that a view of it starts aligned for every element type.
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length; ) {
          const { bytesRead } = await handle.read(bytes, done, Math.min(STRETCH_BYTES, length - done), offset + done);
          if (bytesRead === 0) throw new InterchangeError(`file ${JSON.stringify(path)} became shorter while it was read`);
          done += bytesRead;
        }
        return bytes;
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
