/** Image folders: one subfolder a class, in the order of torchvision's ImageFolder (names by code point; files by folder, then name). */
import { invalid } from '#errors/errors.js';
import { isInnerPath } from '../manifest/manifest-header.js';
import { PathList } from '../manifest/path-list.js';
import { Uint32List } from '../manifest/uint32-list.js';
import { byCodePoint } from './code-points.js';
import type { FileTree, TreeFile } from './file-tree.js';
import type { ImageLabels } from './image-labels.js';
import { IMAGE_ENDINGS, isImageName, refusedName, shownName } from './image-names.js';
import { PartsAmongFolders, refuseSplitsAsClasses } from './splits.js';
import { StampList } from './stamp-list.js';

export interface FolderListing {
  readonly classes: readonly string[];
  /** Relative to the folder, '/' between segments, in order. */
  readonly paths: PathList;
  /** Class of each path. */
  readonly labels: Uint32List;
  /** Of each path; undefined where the tree's listing does not tell them. */
  readonly stamps: StampList | undefined;
  /** Files that are no images by name. */
  readonly ignored: number;
  /** Images by name that are left out: no regular files, links that cannot be followed, names that a manifest cannot hold. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** What is odd and harmless, in whole sentences. */
  readonly warnings: readonly string[];
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
  const listing = new ListingBuilder();
  const warnings: string[] = [];
  const parts = new PartsAmongFolders();
  let ignored = 0;
  for (const [label, name] of classes.entries()) {
    const files: TreeFile[] = [];
    for await (const file of tree.walk(name, signal)) {
      if (!isImageName(file.name)) {
        ignored++;
        continue;
      }
      files.push(file);
      parts.see(file.folder, 1);
    }
    refuseParts(parts, tree.place);
    if (files.length === 0)
      warnings.push(`The class folder ${name} has no images; the class stays, so that labels are those of its folders.`);
    files.sort((a, b) => byCodePoint(a.folder, b.folder) || byCodePoint(a.name, b.name));
    for (const file of files) listing.add(file, label);
  }
  if (classes.length === 1) warnings.push(onlyClass(classes[0] as string));
  return listing.build(tree, classes, ignored, warnings);
}

/** @throws InvalidArgument where images for training and for evaluation would get into one set */
function refuseParts({ mixed }: PartsAmongFolders, place: string): void {
  if (mixed === undefined) return;
  throw invalid(
    'data_path',
    place,
    `a folder whose subfolders are classes; ${mixed.place} has parts of a data set in it, ${mixed.train} and ${mixed.val}: give the folder that they lie in and --split, or the folder of one part, with class folders in it`,
  );
}

/** A model cannot learn anything from it, and its loss of 0 looks like success. */
const onlyClass = (name: string): string =>
  `All images are of one class, ${name}. If the folders in it are the classes, give that folder as the data set.`;

/**
 * Images without class folders, by the labels of a file, in the order of their classes, then of their paths.
 * @param labelsOf is given the names of all images
 * @throws InvalidArgument (no image, labels that do not fit), PermissionDenied
 */
export async function listLabelledImages(
  tree: FileTree,
  labelsOf: (images: readonly string[]) => Promise<ImageLabels>,
  signal?: AbortSignal,
): Promise<FolderListing> {
  const files: TreeFile[] = [];
  let ignored = 0;
  for await (const file of tree.walk('.', signal)) {
    if (isImageName(file.name)) files.push({ ...file, folder: file.folder.replace(/^\.\/?/, '') });
    else ignored++;
  }
  const labels = await labelsOf(files.map(({ name }) => name));
  const byLabel = files.map((file) => ({ file, label: labels.labelOf(file.name) }));
  const missing = Number.POSITIVE_INFINITY;
  byLabel.sort(
    (a, b) =>
      Math.sign((a.label ?? missing) - (b.label ?? missing)) ||
      byCodePoint(a.file.folder, b.file.folder) ||
      byCodePoint(a.file.name, b.file.name),
  );
  const listing = new ListingBuilder();
  for (const { file, label } of byLabel)
    listing.add(label === undefined ? { ...file, problem: file.problem ?? `${labels.file} has no label for it` } : file, label ?? 0);
  const lost = labels.size - files.length;
  const warnings = lost > 0 ? [`${labels.file} has ${lost} labels more than there are images.`] : [];
  return listing.build(tree, labels.classes, ignored, warnings);
}

class ListingBuilder {
  readonly #paths = new PathList();
  readonly #labels = new Uint32List();
  readonly #stamps = new StampList();
  readonly #skipped: { path: string; reason: string }[] = [];
  #stamped = true;

  add({ folder, name, problem, stamp }: TreeFile, label: number): void {
    const path = folder === '' ? name : `${folder}/${name}`;
    const reason = problem ?? refusedName(path) ?? (isInnerPath(path) ? undefined : 'it is no path of plain segments');
    if (reason !== undefined) {
      this.#skipped.push({ path: shownName(path), reason });
      return;
    }
    this.#paths.push(path);
    this.#labels.push(label);
    if (stamp) this.#stamps.push(stamp);
    else this.#stamped = false;
  }

  /** @throws InvalidArgument where there is no image */
  build(tree: FileTree, classes: readonly string[], ignored: number, warnings: readonly string[]): FolderListing {
    if (this.#paths.length === 0 && this.#skipped.length === 0)
      throw invalid('data_path', tree.place, `a folder with image files (${IMAGE_ENDINGS.join(', ')}) in its class folders`);
    const stamps = this.#stamped ? this.#stamps : undefined;
    return { classes, paths: this.#paths, labels: this.#labels, stamps, ignored, skipped: this.#skipped, warnings };
  }
}

/** Images without class folders are what ILSVRC's val/ and test/ hold when they are unpacked. */
function flatHint(files: readonly string[]): string {
  const images = files.filter(isImageName).length;
  if (images === 0) return '';
  return `; it has ${images} images and no class folders: give the file of their labels with --labels (for ILSVRC's val/, LOC_val_solution.csv), or sort them into one folder for each class`;
}
