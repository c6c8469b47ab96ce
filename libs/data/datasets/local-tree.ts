/** The files below a folder of this machine. Links are followed inside the allowed folders only. */
import type { Dirent } from 'node:fs';
import { readdir, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { oddKind } from '#bounds/small-file.js';
import { invalid, PermissionDenied } from '#errors/errors.js';
import { type AllowedRoots, isInside } from './allowed-roots.js';
import type { FileStamp, FileTree, TreeFile } from './file-tree.js';
import { openRegularFile } from './regular-file.js';
import { isSidecar } from './sidecars.js';

const MAX_DEPTH = 16;
/** Links of one folder that are resolved at a time. */
const LINKS_TOGETHER = 32;

type Entry =
  | { readonly kind: 'file'; readonly problem?: string | undefined }
  | { readonly kind: 'folder'; readonly real?: string | undefined };

export class LocalTree implements FileTree {
  constructor(
    /** Real path. */
    readonly place: string,
    /** Where links may lead; undefined: anywhere. */
    private readonly roots?: AllowedRoots,
  ) {}

  async list(): Promise<{ folders: string[]; files: string[] }> {
    const [folders, files]: [string[], string[]] = [[], []];
    for await (const { name, entry } of this.#entries(this.place)) {
      if (entry.kind === 'folder') folders.push(name);
      else if (entry.problem === undefined) files.push(name);
      else if (entry.problem.startsWith(NOWHERE))
        throw invalid('data_path', join(this.place, name), `a link that leads somewhere; ${entry.problem}`);
    }
    return { folders, files };
  }

  walk(folder: string, signal?: AbortSignal): AsyncGenerator<TreeFile> {
    return this.#walk(folder, signal, undefined, MAX_DEPTH);
  }

  /** `real`: where the folder lies, once a link has been followed on the way; its own path until then. */
  async *#walk(folder: string, signal: AbortSignal | undefined, real: string | undefined, depth: number): AsyncGenerator<TreeFile> {
    signal?.throwIfAborted();
    const path = join(this.place, folder);
    if (depth === 0) throw invalid('data_path', path, `folders at most ${MAX_DEPTH} deep`);
    const here = real ?? (await realpath(path));
    for await (const { name, entry } of this.#entries(path)) {
      if (entry.kind === 'file') {
        yield entry.problem === undefined ? { folder, name } : { folder, name, problem: entry.problem };
        continue;
      }
      if (entry.real !== undefined && (entry.real === here || isInside(entry.real, here)))
        throw invalid('data_path', join(path, name), `no link that leads back to a folder above it, here ${entry.real}`);
      yield* this.#walk(`${folder}/${name}`, signal, entry.real ?? join(here, name), depth - 1);
    }
  }

  async stamp(path: string): Promise<FileStamp> {
    const stats = await stat(join(this.place, path));
    const kind = oddKind(stats);
    if (kind !== undefined) throw new Error(`it is ${kind}`);
    return { sizeBytes: stats.size, mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs };
  }

  async read(path: string, offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const file = await openRegularFile(join(this.place, path));
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

  async *#entries(path: string): AsyncGenerator<{ name: string; entry: Entry }> {
    const items = (await readdir(path, { withFileTypes: true })).filter(({ name }) => !isSidecar(name));
    for (let from = 0; from < items.length; from += LINKS_TOGETHER) {
      const some = items.slice(from, from + LINKS_TOGETHER);
      const entries = some.map((item) => (item.isSymbolicLink() ? this.#followed(join(path, item.name)) : plainEntry(item)));
      for (const [i, entry] of (await Promise.all(entries)).entries()) yield { name: some[i]!.name, entry };
    }
  }

  /** @throws PermissionDenied for a link to a folder outside: all that is in it would be missing */
  async #followed(link: string): Promise<Entry> {
    const target = await realpath(link).catch(() => undefined);
    if (target === undefined) return { kind: 'file', problem: `${NOWHERE} ${await readlink(link).catch(() => 'an unknown place')}` };
    const stats = await stat(target);
    const isFolder = stats.isDirectory();
    if (this.roots && !this.roots.has(target)) {
      const folder = isFolder ? target : dirname(target);
      const why = `a link to ${target}, outside the allowed folders ${this.roots.folders.join(', ')}; allow it with --data-root ${folder}`;
      if (isFolder) throw new PermissionDenied(link, `it is ${why}`);
      return { kind: 'file', problem: `it is ${why}` };
    }
    if (isFolder) return { kind: 'folder', real: target };
    const kind = oddKind(stats);
    return { kind: 'file', problem: kind && `it is a link to ${kind}` };
  }
}

const NOWHERE = 'it leads to nothing at';

function plainEntry(item: Dirent): Entry {
  if (item.isDirectory()) return { kind: 'folder' };
  const kind = oddKind(item);
  return { kind: 'file', problem: kind && `it is ${kind}` };
}
