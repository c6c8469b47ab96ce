/** Image folders: one subfolder a class, in the order of torchvision's ImageFolder (names by code point; files by folder, then name). */
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid } from '#rpc/errors.js';

export interface FolderListing {
  readonly classes: readonly string[];
  /** Relative to the folder, '/' between segments, in order. */
  readonly files: readonly { readonly path: string; readonly label: number }[];
  /** Files that are no JPEG or PNG by name. */
  readonly ignored: number;
}

const IMAGE = /\.(jpe?g|png)$/i;
const MAX_DEPTH = 16;

/** @throws InvalidArgument when there is no class folder, no image, or a name that is not UTF-8 text */
export async function listImageFolder(folder: string, signal?: AbortSignal): Promise<FolderListing> {
  const names = (await readdir(folder, { withFileTypes: true })).filter((item) => !item.name.startsWith('.'));
  const folders = await Promise.all(names.map(async (item) => ((await isFolder(folder, item)) ? [item.name] : [])));
  const classes = folders.flat().sort(byCodePoint);
  if (classes.length === 0) throw invalid('data_path', folder, 'a folder with one subfolder for each class');
  const files: { path: string; label: number }[] = [];
  let ignored = 0;
  for (const [label, name] of classes.entries()) {
    const found = await walk(folder, name, MAX_DEPTH, signal);
    ignored += found.ignored;
    found.files.sort((a, b) => byCodePoint(a.folder, b.folder) || byCodePoint(a.name, b.name));
    for (const file of found.files) files.push({ path: `${file.folder}/${file.name}`, label });
  }
  if (files.length === 0) throw invalid('data_path', folder, 'a folder with JPEG or PNG files in its class folders');
  const odd = files.find(({ path }) => path.includes('\uFFFD') || path.includes('\\'));
  if (odd) throw invalid('data_path', odd.path, 'file names of UTF-8 text without backslashes');
  return { classes, files, ignored };
}

async function walk(root: string, folder: string, depth: number, signal: AbortSignal | undefined) {
  signal?.throwIfAborted();
  if (depth === 0) throw invalid('data_path', folder, `at most ${MAX_DEPTH} folders deep; a link may lead back to a folder above it`);
  const files: { folder: string; name: string }[] = [];
  let ignored = 0;
  for (const item of await readdir(join(root, folder), { withFileTypes: true })) {
    if (await isFolder(join(root, folder), item)) {
      const inner = await walk(root, `${folder}/${item.name}`, depth - 1, signal);
      files.push(...inner.files);
      ignored += inner.ignored;
    } else if (IMAGE.test(item.name)) files.push({ folder, name: item.name });
    else ignored++;
  }
  return { files, ignored };
}

async function isFolder(parent: string, item: Dirent): Promise<boolean> {
  if (!item.isSymbolicLink()) return item.isDirectory();
  return (await stat(join(parent, item.name)).catch(() => undefined))?.isDirectory() ?? false;
}

/** Order of Unicode code points, which UTF-8 bytes have and UTF-16 units have not. */
export function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}
