/** Image folders: one subfolder a class, in the order of torchvision's ImageFolder (names by code point; files by folder, then name). */
import { invalid } from '#errors/errors.js';
import { PathList } from '../manifest/path-list.js';
import { Uint32List } from '../manifest/uint32-list.js';
import type { FileTree, TreeFile } from './file-tree.js';

export interface FolderListing {
  readonly classes: readonly string[];
  /** Relative to the folder, '/' between segments, in order. */
  readonly paths: PathList;
  /** Class of each path. */
  readonly labels: Uint32List;
  /** Files that are no JPEG or PNG by name. */
  readonly ignored: number;
}

const IMAGE = /\.(jpe?g|png)$/i;

/** @throws InvalidArgument when there is no class folder, no image, or a name that is not UTF-8 text */
export async function listImageFolder(tree: FileTree, signal?: AbortSignal): Promise<FolderListing> {
  const classes = [...(await tree.list(signal)).folders].sort(byCodePoint);
  if (classes.length === 0) throw invalid('data_path', tree.place, 'a folder with one subfolder for each class');
  const paths = new PathList();
  const labels = new Uint32List();
  let ignored = 0;
  for (const [label, name] of classes.entries()) {
    const files: TreeFile[] = [];
    for await (const file of tree.walk(name, signal)) {
      if (IMAGE.test(file.name)) files.push(file);
      else ignored++;
    }
    files.sort((a, b) => byCodePoint(a.folder, b.folder) || byCodePoint(a.name, b.name));
    for (const file of files) {
      const path = `${file.folder}/${file.name}`;
      if (path.includes('\uFFFD') || path.includes('\\')) throw invalid('data_path', path, 'file names of UTF-8 text without backslashes');
      paths.push(path);
      labels.push(label);
    }
  }
  if (paths.length === 0) throw invalid('data_path', tree.place, 'a folder with JPEG or PNG files in its class folders');
  return { classes, paths, labels, ignored };
}

/** Order of Unicode code points, which UTF-8 bytes have and UTF-16 units have not. */
export function byCodePoint(a: string, b: string): number {
  // Below the surrogates both orders are the same.
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}

const SURROGATE = /[\uD800-\uDFFF]/;
