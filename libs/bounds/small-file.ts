/** Files that people name in options: only regular ones of a bounded size, and never one that would have to be waited for. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';

type Kind = Pick<Stats, 'isFile' | 'isFIFO' | 'isSocket' | 'isDirectory' | 'isBlockDevice' | 'isCharacterDevice'>;

/** What something is that is no regular file; undefined for one. */
export function oddKind(entry: Kind): string | undefined {
  if (entry.isFile()) return undefined;
  if (entry.isFIFO()) return 'a named pipe';
  if (entry.isSocket()) return 'a socket';
  if (entry.isDirectory()) return 'a folder';
  return entry.isBlockDevice() || entry.isCharacterDevice() ? 'a device' : 'no regular file';
}

/** The content, or why it cannot be read: for files that are looked at again and again. */
export function contentOrReason(path: string, maxBytes: number): Buffer | Error {
  try {
    return readSmallFile(path, maxBytes);
  } catch (error) {
    return error as Error;
  }
}

/**
 * The whole content, read at once.
 * @throws Error, with a reason that does not repeat the path, for anything but a regular file of at most `maxBytes`
 */
export function readSmallFile(path: string, maxBytes: number): Buffer {
  // A named pipe without a writer would keep an ordinary open waiting for ever.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    const kind = oddKind(stats);
    if (kind !== undefined) throw new Error(`it is ${kind}`);
    if (stats.size > maxBytes) throw new Error(`it has ${stats.size} bytes, at most ${maxBytes} are read`);
    // Files under /proc do not say their size, and others may grow.
    const buffer = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(file, buffer, length, buffer.length - length, null);
    if (length > maxBytes) throw new Error(`it has more than ${maxBytes} bytes, at most ${maxBytes} are read`);
    return Buffer.from(buffer.subarray(0, length));
  } finally {
    closeSync(file);
  }
}
