/** The objects of a store as the files of a data set. Their names are data: any text, in any order, with or without markers for folders. */
import { type BrowsePage, isBrowsable, type ListedObject, listAll, type ObjectStore } from '#storage/object-store.js';
import type { FileStamp, FileTree, TreeFile } from '../datasets/file-tree.js';
import { inSidecar, isSidecar } from '../datasets/sidecars.js';

/** To the second, since some stores tell more of the time in listings than elsewhere. */
const stampOf = (sizeBytes: number, lastModified: Date): FileStamp => ({
  sizeBytes,
  mtimeMs: Math.floor(lastModified.getTime() / 1000) * 1000,
  ctimeMs: 0,
});

export class StoreTree implements FileTree {
  constructor(private readonly store: ObjectStore) {}

  get place(): string {
    return this.store.uri;
  }

  async list(signal?: AbortSignal): Promise<{ folders: string[]; files: string[] }> {
    const [folders, files] = [new Set<string>(), new Set<string>()];
    for await (const page of this.#pages('', true, signal)) {
      for (const name of page.folders) folders.add(name.slice(0, name.indexOf('/')));
      for (const { key } of page.objects) {
        const slash = key.indexOf('/');
        if (slash < 0) files.add(key);
        else folders.add(key.slice(0, slash));
      }
    }
    const named = (names: Set<string>) => [...names].filter((name) => name !== '' && !isSidecar(name));
    return { folders: named(folders), files: named(files) };
  }

  async *walk(folder: string, signal?: AbortSignal): AsyncGenerator<TreeFile> {
    for await (const page of this.#pages(`${folder}/`, false, signal))
      for (const { key, sizeBytes, lastModified } of page.objects) {
        const slash = key.lastIndexOf('/');
        // A key that ends in '/' is what some programs put for a folder.
        if (slash === key.length - 1 || inSidecar(key.slice(folder.length + 1))) continue;
        // A listing of a thousand objects costs less than asking for two of them.
        yield { folder: key.slice(0, slash), name: key.slice(slash + 1), stamp: stampOf(sizeBytes, lastModified) };
      }
  }

  async stamp(path: string, signal?: AbortSignal): Promise<FileStamp> {
    const { sizeBytes, lastModified } = await this.store.head(path, { signal });
    return stampOf(sizeBytes, lastModified);
  }

  async read(path: string, offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    return await this.store.getRange(path, offset, length, { signal });
  }

  /** A store that others cannot write to has our own keys, in order. */
  async *#pages(prefix: string, level: boolean, signal: AbortSignal | undefined): AsyncGenerator<Pick<BrowsePage, 'objects' | 'folders'>> {
    const { store } = this;
    if (!isBrowsable(store)) {
      for await (const object of listAll(store, prefix, { signal })) yield { objects: [object] satisfies ListedObject[], folders: [] };
      return;
    }
    let from: string | undefined;
    do {
      const page: BrowsePage = await store.browse(prefix, { level, from, signal });
      yield page;
      from = page.next;
    } while (from !== undefined);
  }
}
