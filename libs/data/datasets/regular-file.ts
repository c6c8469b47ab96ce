/** Opening files that people put into data sets: only regular ones, without ever waiting for one. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { oddKind } from '#bounds/small-file.js';

/** To be closed by the caller. A named pipe without a writer would keep an ordinary open waiting for ever. @throws Error for anything but a file */
export async function openRegularFile(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const kind = oddKind(await file.stat());
    if (kind !== undefined) throw new Error(`${path} is ${kind}`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The whole content. @throws Error for anything but a regular file, RangeError above `maxBytes` */
export async function readRegularFile(path: string, maxBytes: number): Promise<Buffer> {
  const file = await openRegularFile(path);
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw new RangeError(`${path} has ${size} bytes, at most ${maxBytes} are read`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}
