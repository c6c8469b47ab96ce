/** The objects of a store as the files of a data set. */
import { listAll, type ObjectStore } from '#storage/object-store.js';
import type { FileStamp, FileTree, TreeFile } from '../datasets/file-tree.js';

export class StoreTree implements FileTree {
  constructor(private readonly store: ObjectStore) {}

  get place(): string {
    return this.store.uri;
  }

  /** One request a name: a folder's objects are jumped over. */
  async list(signal?: AbortSignal): Promise<{ folders: string[]; files: string[] }> {
    const [folders, files]: [string[], string[]] = [[], []];
    for (let after = ''; ; ) {
      const page = await this.store.list('', { after, limit: 1, signal });
      const key = page.objects[0]?.key;
      if (key === undefined) return { folders, files };
      const slash = key.indexOf('/');
      if (!key.startsWith('.')) (slash < 0 ? files : folders).push(slash < 0 ? key : key.slice(0, slash));
      // '~' comes after every character that a key may have.
      after = slash < 0 ? key : `${key.slice(0, slash)}/~`;
    }
  }

  async *walk(folder: string, signal?: AbortSignal): AsyncGenerator<TreeFile> {
    for await (const { key } of listAll(this.store, `${folder}/`, { signal })) {
      const slash = key.lastIndexOf('/');
      // A key that ends in '/' is what some programs put for a folder.
      if (slash < key.length - 1) yield { folder: key.slice(0, slash), name: key.slice(slash + 1) };
    }
  }

  async stamp(path: string, signal?: AbortSignal): Promise<FileStamp> {
    const { sizeBytes, lastModified } = await this.store.head(path, { signal });
    return { sizeBytes, mtimeMs: lastModified.getTime(), ctimeMs: 0 };
  }

  async read(path: string, offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    return await this.store.getRange(path, offset, length, { signal });
  }
}
