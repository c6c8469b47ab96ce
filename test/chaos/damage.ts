/** What the storm damages on purpose, so that checks can tell it from what goes wrong. */
import { decodeManifest } from '#storage/checkpoint-manifest.js';
import { listAll, ObjectNotFound, type ObjectStore, StoreFull } from '#storage/object-store.js';
import type { WatchedRun } from './watched-run.js';

/** What is said when nothing was damaged. */
export const NO_ROOM = "the store's disk is full, so that no checkpoint is damaged";

/** Of a checkpoint. */
export interface Part {
  readonly key: string;
  readonly bytes: Buffer;
}

/** A run and the checkpoints that its log has. */
type Saved = Pick<WatchedRun, 'name' | 'uid' | 'checkpoints'>;

/** Name of the checkpoint to which an object belongs. Its key has the uid of the run as well. */
export const checkpointOf = (key: string): string => key.replace(/\/[^/]+(\/checkpoints\/[^/]+)\/[^/]+$/, '$1');

export class Damage {
  /** Keys of parts of checkpoints. */
  readonly parts = new Set<string>();
  /** Names of checkpoints that were damaged before anybody could evaluate them: their evaluations must fail. */
  readonly unevaluable = new Set<string>();

  /** Names of all checkpoints of which a part is damaged. */
  get checkpoints(): ReadonlySet<string> {
    return new Set([...this.parts].map(checkpointOf));
  }

  /** Names of all checkpoints of a run that the store has. */
  async committed(store: ObjectStore, { name, uid }: Pick<Saved, 'name' | 'uid'>): Promise<ReadonlySet<string>> {
    const names = new Set<string>();
    for await (const { key } of listAll(store, `${name}/${uid}/`)) if (key.endsWith('/manifest.json')) names.add(checkpointOf(key));
    return names;
  }

  /**
   * The weights of the newest of at least two whole checkpoints that the log of the run has; undefined if there are fewer, or they are being deleted.
   * A worker that has lost its claim may leave one that the log does not have, and that nobody resumes from.
   */
  async newestOfSeveral(store: ObjectStore, { name, uid, checkpoints }: Saved): Promise<Part | undefined> {
    const logged = new Set(checkpoints.map((one) => one.name));
    const whole: string[] = [];
    try {
      for await (const { key } of listAll(store, `${name}/${uid}/`)) {
        if (!key.endsWith('/manifest.json') || !logged.has(checkpointOf(key))) continue;
        const { parts } = decodeManifest(key, (await store.get(key)).bytes).manifest;
        if (!parts.some((part) => this.parts.has(part.key))) whole.push(parts.find(({ group }) => group === 'weights')!.key);
      }
      const [key, second] = whole.reverse();
      return key === undefined || second === undefined ? undefined : { key, bytes: (await store.get(key)).bytes };
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined;
      throw error;
    }
  }

  /** Changes a bit at a share of the part, from 0 to 1. @returns what it did; undefined if there is no room for the changed part */
  async alter(store: ObjectStore, { key, bytes }: Part, share: number): Promise<string | undefined> {
    const at = Math.min(bytes.length - 1, Math.floor(bytes.length * share));
    bytes[at] = bytes[at]! ^ 0x40;
    this.parts.add(key);
    try {
      await store.put(key, bytes);
    } catch (error) {
      if (!(error instanceof StoreFull)) throw error;
      this.parts.delete(key);
      return undefined;
    }
    return `${key} has a wrong byte at ${at}`;
  }
}
