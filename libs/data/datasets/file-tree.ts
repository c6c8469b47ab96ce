/** The files of a data set while it is indexed: on this machine or in an object store. */

/** What shows that a file has not changed since it was read. */
export interface FileStamp {
  readonly sizeBytes: number;
  /** Milliseconds since 1970 as the place tells them, with fractions; of the content, and of the entry where the place has one. */
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

export interface TreeFile {
  /** Folder within the tree, '/' between segments; '' for the tree itself. */
  readonly folder: string;
  readonly name: string;
  /** Why it cannot be read: a link that leads nowhere or out of the allowed folders, a named pipe, a device. */
  readonly problem?: string | undefined;
  /** Where listing tells it; otherwise `stamp` does. */
  readonly stamp?: FileStamp | undefined;
}

export interface FileTree {
  /** For messages, and the place's name in an index memory: an absolute folder or a store's URI. */
  readonly place: string;
  /**
   * Names in the tree itself, links followed, without hidden names and sidecars.
   * @throws PermissionDenied where a link leads out of the allowed folders, InvalidArgument where it leads nowhere
   */
  list(signal?: AbortSignal): Promise<{ readonly folders: readonly string[]; readonly files: readonly string[] }>;
  /**
   * Every file below a folder, in any order, without hidden files, hidden folders and sidecars.
   * @throws PermissionDenied where a link to a folder leads out of the allowed ones, InvalidArgument where it leads back or too deep
   */
  walk(folder: string, signal?: AbortSignal): AsyncIterable<TreeFile>;
  /** @throws Error where it is no regular file */
  stamp(path: string, signal?: AbortSignal): Promise<FileStamp>;
  /** `length` bytes from `offset`, fewer at the end. */
  read(path: string, offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
}
