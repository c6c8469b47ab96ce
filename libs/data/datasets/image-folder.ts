/** Image folders: one subfolder a class, in the order of torchvision's ImageFolder (names by code point; files by folder, then name). */
import { invalid } from '#errors/errors.js';
import { isInnerPath } from '../manifest/manifest-header.js';
import { PathList } from '../manifest/path-list.js';
import { Uint32List } from '../manifest/uint32-list.js';
import type { FileTree, TreeFile } from './file-tree.js';
import { IMAGE_ENDINGS, isImageName, refusedName, shownName } from './image-names.js';
import { refuseSplitsAsClasses } from './splits.js';

export interface FolderListing {
  readonly classes: readonly string[];
  /** Relative to the folder, '/' between segments, in order. */
  readonly paths: PathList;
  /** Class of each path. */
  readonly labels: Uint32List;
  /** Files that are no images by name. */
  readonly ignored: number;
  /** Images by name that are left out: no regular files, links that cannot be followed, names that a manifest cannot hold. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** Classes without an image. */
  readonly empty: readonly string[];
}

/** @throws InvalidArgument when there is no class folder, no image, or the name of a class that a manifest cannot hold; PermissionDenied */
export async function listImageFolder(tree: FileTree, signal?: AbortSignal): Promise<FolderListing> {
  const { folders, files: loose } = await tree.list(signal);
  const classes = [...folders].sort(byCodePoint);
  if (classes.length === 0) throw invalid('data_path', tree.place, `a folder with one subfolder for each class${flatHint(loose)}`);
  refuseSplitsAsClasses(classes, tree.place);
  const odd = classes.find((name) => refusedName(name) !== undefined);
  if (odd !== undefined)
    throw invalid('data_path', shownName(odd), `class folders with names of UTF-8 text, without control characters and backslashes`);
  const paths = new PathList();
  const labels = new Uint32List();
  const [skipped, empty]: [{ path: string; reason: string }[], string[]] = [[], []];
  let ignored = 0;
  for (const [label, name] of classes.entries()) {
    const files: TreeFile[] = [];
    for await (const file of tree.walk(name, signal)) {
      if (isImageName(file.name)) files.push(file);
      else ignored++;
    }
    if (files.length === 0) empty.push(name);
    files.sort((a, b) => byCodePoint(a.folder, b.folder) || byCodePoint(a.name, b.name));
    for (const { folder, name: file, problem } of files) {
      const path = `${folder}/${file}`;
      const reason = problem ?? refusedName(path) ?? (isInnerPath(path) ? undefined : 'it is no path of plain segments');
      if (reason !== undefined) {
        skipped.push({ path: shownName(path), reason });
        continue;
      }
      paths.push(path);
      labels.push(label);
    }
  }
  if (paths.length === 0 && skipped.length === 0)
    throw invalid('data_path', tree.place, `a folder with image files (${IMAGE_ENDINGS.join(', ')}) in its class folders`);
  return { classes, paths, labels, ignored, skipped, empty };
}

/** Images without class folders are what ILSVRC's val/ and test/ hold when they are unpacked. */
function flatHint(files: readonly string[]): string {
  const images = files.filter(isImageName).length;
  if (images === 0) return '';
  return `; it has ${images} images and no class folders: sort them into one folder for each class by the labels that came with them (for ILSVRC's val/, LOC_val_solution.csv or the validation ground truth)`;
}

/** Order of Unicode code points, which UTF-8 bytes have and UTF-16 units have not. */
export function byCodePoint(a: string, b: string): number {
  // Below the surrogates both orders are the same.
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}

const SURROGATE = /[\uD800-\uDFFF]/;
