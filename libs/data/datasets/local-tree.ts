/** The files below a folder of this machine. */
import type { Dirent } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid } from '#errors/errors.js';
import type { FileStamp, FileTree, TreeFile } from './file-tree.js';

const MAX_DEPTH = 16;

export class LocalTree implements FileTree {
  constructor(
    /** Real path. */
    readonly place: string,
  ) {}

  async list(): Promise<{ folders: string[]; files: string[] }> {
    const items = (await readdir(this.place, { withFileTypes: true })).filter((item) => !item.name.startsWith('.'));
    const isFolderOf = await Promise.all(items.map((item) => isFolder(this.place, item)));
    const names = (folders: boolean) => items.flatMap(({ name }, i) => (isFolderOf[i] === folders ? [name] : []));
    return { folders: names(true), files: names(false) };
  }

  /** @throws InvalidArgument where folders lie too deep */
  async *walk(folder: string, signal?: AbortSignal, depth = MAX_DEPTH): AsyncGenerator<TreeFile> {
    signal?.throwIfAborted();
    if (depth === 0) throw invalid('data_path', folder, `at most ${MAX_DEPTH} folders deep; a link may lead back to a folder above it`);
    const path = join(this.place, folder);
    for (const item of await readdir(path, { withFileTypes: true })) {
      if (await isFolder(path, item)) yield* this.walk(`${folder}/${item.name}`, signal, depth - 1);
      else yield { folder, name: item.name };
    }
  }

  async stamp(path: string): Promise<FileStamp> {
    const { size, mtimeMs, ctimeMs } = await stat(join(this.place, path));
    return { sizeBytes: size, mtimeMs, ctimeMs };
  }

  async read(path: string, offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const file = await open(join(this.place, path), 'r');
    try {
      const buffer = Buffer.allocUnsafeSlow(length);
      let done = 0;
      while (done < length) {
        signal?.throwIfAborted();
        const { bytesRead } = await file.read(buffer, done, length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return buffer.subarray(0, done);
    } finally {
      await file.close();
    }
  }
}

async function isFolder(parent: string, item: Dirent): Promise<boolean> {
  if (!item.isSymbolicLink()) return item.isDirectory();
  return (await stat(join(parent, item.name)).catch(() => undefined))?.isDirectory() ?? false;
}
