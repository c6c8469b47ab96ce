/** Reads a tar shard once and brings together what belongs to one sample, wherever it lies in the shard. */
import { Uint32List } from '../manifest/uint32-list.js';
import type { FileTree } from './file-tree.js';
import { imageFacts, MAX_IMAGE_BYTES } from './image-facts.js';
import { isImageName, shownName } from './image-names.js';
import { ShardSamples } from './shard-samples.js';
import { ShardWindow } from './shard-window.js';
import { inSidecar } from './sidecars.js';
import { PartsAmongFolders } from './splits.js';
import { type TarMember, tarMembers } from './tar.js';
import { labelIn, labelOfFolder, MAX_LABEL_BYTES, memberOf, UNLABELLED } from './web-dataset.js';

/** @throws InvalidTar, the signal's reason, Error when the file cannot be read or changes */
export async function readShard(tree: FileTree, path: string, sizeBytes: number, signal?: AbortSignal): Promise<ShardSamples> {
  const window = new ShardWindow(tree, path, sizeBytes, signal);
  const groups = new MemberGroups();
  const parts = new PartsAmongFolders();
  let ignored = 0;
  let cut = false;
  const onCut = () => {
    cut = true;
  };
  for await (const member of tarMembers(window, onCut)) {
    const { key, kind } = memberOf(member.name);
    if (kind === 'other' || inSidecar(member.name)) {
      ignored++;
      continue;
    }
    parts.see(key.slice(0, Math.max(0, key.lastIndexOf('/'))));
    if (kind === 'dotted') groups.dotted(key, member);
    else if (member.isLink) groups.link(key, member);
    else if (kind === 'image') await groups.image(key, member, window);
    else await groups.label(key, kind, member, window);
  }
  const samples = new ShardSamples(sizeBytes);
  samples.ignored = ignored;
  samples.cut = cut;
  samples.partFolders.push(...parts.folders);
  groups.finish(path, samples);
  samples.sha256 = await window.finish();
  return samples;
}

const NONE = 0xffffffff;
/** Numbers of one group, in this order: its image in `#images`, its .cls, its .json, and whether a file of it has more dots. */
const [IMAGE, CLS, JSON_LABEL, DOTTED, GROUP_COLUMNS] = [0, 1, 2, 3, 4];
/** Numbers of one image: its group, its block, its bytes, its width and its height. */
const IMAGE_COLUMNS = 5;

/**
 * Files by key. Columns, since a shard may have millions of members. A key that comes again in another of several joined archives begins another
 * sample; twice in one archive it is no sample.
 */
class MemberGroups {
  readonly #groupOf = new Map<string, number>();
  readonly #keys: string[] = [];
  readonly #parts = new Uint32List();
  #groups = new Uint32Array(GROUP_COLUMNS * 64);
  readonly #images = new Uint32List();
  #hashes = new Uint8Array(32 * 64);
  readonly #problems = new Map<number, string>();

  async image(key: string, member: TarMember, window: ShardWindow): Promise<void> {
    const group = this.#group(key, member.part, IMAGE);
    if (this.#groups[GROUP_COLUMNS * group + IMAGE] !== NONE) return this.#refuse(group, 'it has two images');
    if (member.sizeBytes > MAX_IMAGE_BYTES)
      return this.#refuse(group, `its image has ${member.sizeBytes} bytes, at most ${MAX_IMAGE_BYTES} are read`);
    const bytes = await window.read(member.offset, member.sizeBytes);
    this.#try(group, () => {
      const { width, height, sha256 } = imageFacts(bytes);
      const image = this.#images.length / IMAGE_COLUMNS;
      for (const value of [group, member.offset / 512, member.sizeBytes, width, height]) this.#images.push(value);
      if (32 * image === this.#hashes.byteLength) {
        const grown = new Uint8Array(64 * image);
        grown.set(this.#hashes);
        this.#hashes = grown;
      }
      this.#hashes.set(sha256, 32 * image);
      this.#groups[GROUP_COLUMNS * group + IMAGE] = image;
    });
  }

  async label(key: string, kind: 'cls' | 'json', member: TarMember, window: ShardWindow): Promise<void> {
    const column = kind === 'cls' ? CLS : JSON_LABEL;
    const group = this.#group(key, member.part, column);
    if (this.#groups[GROUP_COLUMNS * group + column] !== NONE) return this.#refuse(group, `it has two .${kind} files`);
    if (member.sizeBytes > MAX_LABEL_BYTES) return this.#refuse(group, `its .${kind} has ${member.sizeBytes} bytes`);
    const bytes = await window.read(member.offset, member.sizeBytes);
    this.#try(group, () => {
      this.#groups[GROUP_COLUMNS * group + column] = labelIn(kind, bytes) ?? NONE;
    });
  }

  link(key: string, { name, part }: TarMember): void {
    const what = isImageName(name) ? 'image' : 'label';
    this.#refuse(this.#group(key, part, IMAGE), `its ${what} is a link in the archive; pack it with --dereference --hard-dereference`);
  }

  dotted(key: string, { part }: TarMember): void {
    this.#groups[GROUP_COLUMNS * this.#group(key, part, DOTTED) + DOTTED] = 1;
  }

  finish(shard: string, samples: ShardSamples): void {
    const skip = (group: number, reason: string): void => {
      samples.skipped.push({ path: shownName(`${shard}: ${this.#keys[group]}`), reason });
    };
    for (let image = 0; image < this.#images.length / IMAGE_COLUMNS; image++) {
      const [group = 0, record = 0, sizeBytes = 0, width = 0, height = 0] = this.#images.values.subarray(IMAGE_COLUMNS * image);
      if (this.#problems.has(group)) continue;
      const [cls, json] = [this.#groups[GROUP_COLUMNS * group + CLS], this.#groups[GROUP_COLUMNS * group + JSON_LABEL]];
      const label = cls !== NONE ? cls : json !== NONE ? json : labelOfFolder(this.#keys[group] as string);
      const sha256 = this.#hashes.subarray(32 * image, 32 * image + 32);
      if (label === undefined) skip(group, UNLABELLED);
      else samples.add(512 * record, sizeBytes, { width, height, sha256 }, label);
    }
    for (const group of this.#keys.keys()) {
      const [image, cls, json, dotted] = this.#groups.subarray(GROUP_COLUMNS * group, GROUP_COLUMNS * (group + 1));
      const problem = this.#problems.get(group);
      if (problem !== undefined) skip(group, problem);
      else if (image !== NONE) continue;
      else if (dotted === 1)
        skip(
          group,
          'its files have more dots in their names: the key of a sample ends at the first dot, so rename them with other characters',
        );
      else if (cls !== NONE || json !== NONE) {
        samples.addOrphan(shownName(`${shard}: ${this.#keys[group]}`));
        skip(group, 'it has a label and no image');
      }
    }
  }

  #group(key: string, part: number, column: number): number {
    const known = this.#groupOf.get(key);
    if (
      known !== undefined &&
      !(this.#parts.at(known) !== part && this.#groups[GROUP_COLUMNS * known + column] !== NONE && column !== DOTTED)
    )
      return known;
    const group = this.#keys.length;
    this.#groupOf.set(key, group);
    this.#keys.push(key);
    this.#parts.push(part);
    const at = GROUP_COLUMNS * group;
    if (at === this.#groups.length) {
      const grown = new Uint32Array(2 * at);
      grown.set(this.#groups);
      this.#groups = grown;
    }
    this.#groups.set([NONE, NONE, NONE, 0], at);
    return group;
  }

  #refuse(group: number, problem: string): void {
    if (!this.#problems.has(group)) this.#problems.set(group, problem);
  }

  #try(group: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#refuse(group, error instanceof Error ? error.message : String(error));
    }
  }
}
