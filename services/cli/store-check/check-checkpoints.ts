/** Checks the checkpoints of one incarnation of a run. */
import { readManifest } from '#storage/checkpoint.js';
import { CheckpointDamaged, type CheckpointManifest } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound } from '#storage/object-store.js';
import { type CheckContext, deleteKeys, exists, hashObject, isOld, reportWhenOld, type StoredObject } from './check-context.js';
import type { LogFacts } from './check-log.js';

interface Folder {
  manifest: StoredObject | undefined;
  readonly parts: Map<string, StoredObject>;
}

export class CheckpointsCheck {
  readonly #folders = new Map<string, Folder>();
  #endMissing = false;

  constructor(
    private readonly context: CheckContext,
    /** projects/P/runs/R/<uid>/checkpoints */
    private readonly prefix: string,
  ) {}

  take(object: StoredObject): void {
    const id = object.parsed.parts.checkpoint!;
    const folder = this.#folders.get(id) ?? { manifest: undefined, parts: new Map() };
    this.#folders.set(id, folder);
    if (object.parsed.kind === 'checkpointManifest') folder.manifest = object;
    else folder.parts.set(object.parsed.key, object);
  }

  /**
   * @param log undefined for imported weights, which no log names
   * @param pinned ids of checkpoints that evaluations need
   * @returns whether they show that the log has lost its end
   */
  async finish(log: LogFacts | undefined, pinned: ReadonlySet<string>): Promise<boolean> {
    for (const [id, folder] of this.#folders) {
      this.context.signal.throwIfAborted();
      if (folder.manifest === undefined) await this.#orphaned(id, folder);
      else await this.#committed(id, folder, folder.manifest, log, pinned);
    }
    await this.#newest(log);
    return this.#endMissing;
  }

  /** The newest checkpoint of a log is kept as long as the run, so it is lost if it is not there. */
  async #newest(log: LogFacts | undefined): Promise<void> {
    const id = log?.newestCheckpoint;
    if (id === undefined || this.#folders.get(id)?.manifest !== undefined) return;
    const where = `${this.prefix}/${id}/manifest.json`;
    if (await exists(this.context, where)) return;
    this.context.report({ kind: 'checkpoint-missing', where, detail: 'it is the newest checkpoint of the log' });
  }

  async #orphaned(id: string, { parts }: Folder): Promise<void> {
    const { context } = this;
    const where = `${this.prefix}/${id}`;
    const keys = [...parts.keys()];
    const newest = { writtenMs: Math.max(...[...parts.values()].map(({ writtenMs }) => writtenMs)) };
    // A save that ends while the check runs has its manifest by now.
    if (await exists(context, `${where}/manifest.json`)) return;
    const detail = `${keys.length} parts, ${bytesOf(parts)} bytes, without a manifest`;
    const repair = async (signal: AbortSignal): Promise<string> => {
      if (await exists(context, `${where}/manifest.json`)) return 'left alone: it has a manifest now';
      return await deleteKeys(context, keys, signal);
    };
    reportWhenOld(context, { kind: 'parts-orphaned', where, detail, repair }, newest);
  }

  async #committed(
    id: string,
    { parts }: Folder,
    object: StoredObject,
    log: LogFacts | undefined,
    pinned: ReadonlySet<string>,
  ): Promise<void> {
    const { context } = this;
    const manifestKey = object.parsed.key;
    const where = `${this.prefix}/${id}`;
    // Nothing can be said about what a log names that cannot be read as a whole.
    const isUnnamed = log?.whole === true && !log.checkpoints.has(id) && !pinned.has(id);
    let manifest: CheckpointManifest;
    try {
      ({ manifest } = await readManifest(context.store, manifestKey, { signal: context.signal }));
    } catch (error) {
      if (error instanceof ObjectNotFound) return;
      if (!(error instanceof CheckpointDamaged)) throw error;
      if (isUnnamed) return this.#unreferenced(id, object, parts, log);
      context.report({ kind: 'checkpoint-unreadable', where: manifestKey, detail: `expected ${error.expected}, found ${error.actual}` });
      return;
    }
    if (manifest.step !== Number(id.slice(0, 12)))
      context.report({ kind: 'checkpoint-unreadable', where: manifestKey, detail: `it is that of step ${manifest.step}` });
    if (log?.whole && manifest.logSequence > log.last) {
      this.#endMissing = true;
      const detail = `the checkpoint includes record ${manifest.logSequence}, and the log ends with ${log.last}`;
      context.report({ kind: 'log-end-missing', where: manifestKey, detail });
    } else if (isUnnamed) return this.#unreferenced(id, object, parts, log);
    for (const part of manifest.parts) {
      const stored = parts.get(part.key);
      parts.delete(part.key);
      await this.#part(manifestKey, part, stored);
    }
    const left = [...parts.keys()];
    if (left.length > 0 && [...parts.values()].every((part) => isOld(context, part))) {
      const detail = `${left.length} parts, ${bytesOf(parts)} bytes, that its manifest does not name`;
      context.report({ kind: 'parts-orphaned', where, detail, repair: (signal) => deleteKeys(context, left, signal) });
    }
  }

  /**
   * A save of a former owner, or one that ended before its record. It is only deleted if the log names a later checkpoint: otherwise the newest record
   * of the log may be lost, and this is the checkpoint that it named.
   */
  #unreferenced(id: string, manifest: StoredObject, parts: ReadonlyMap<string, StoredObject>, log: LogFacts | undefined): void {
    const { context } = this;
    const where = `${this.prefix}/${id}`;
    const size = `${parts.size + 1} objects, ${bytesOf(parts) + manifest.sizeBytes} bytes`;
    const newest = log?.newestCheckpoint;
    if (newest === undefined || newest.slice(0, 12) < id.slice(0, 12)) {
      const kind = isOld(context, manifest) ? 'checkpoint-unreferenced' : 'in-progress';
      context.report({ kind, where, detail: `${size}, of a later step than every checkpoint that the log names, so it is left alone` });
      return;
    }
    const repair = (signal: AbortSignal) => deleteKeys(context, [manifest.parsed.key, ...parts.keys()], signal);
    reportWhenOld(context, { kind: 'checkpoint-unreferenced', where, detail: size, repair }, manifest);
  }

  async #part(manifestKey: string, part: CheckpointManifest['parts'][number], stored: StoredObject | undefined): Promise<void> {
    const { context } = this;
    // Retention deletes the manifest before the parts.
    const isGone = async (): Promise<boolean> => !(await exists(context, manifestKey));
    if (stored === undefined) {
      if ((await exists(context, part.key)) || (await isGone())) return;
      context.report({ kind: 'checkpoint-part-missing', where: part.key, detail: `its manifest names it, with ${part.sizeBytes} bytes` });
    } else if (stored.sizeBytes !== part.sizeBytes) {
      context.report({
        kind: 'checkpoint-part-damaged',
        where: part.key,
        detail: `it has ${stored.sizeBytes} bytes instead of ${part.sizeBytes}`,
      });
    } else if (context.deep) {
      const found = await hashObject(context, part.key, part.sizeBytes);
      if (found === undefined || found === part.sha256) return;
      context.report({ kind: 'checkpoint-part-damaged', where: part.key, detail: `its SHA-256 is ${found} instead of ${part.sha256}` });
    }
  }
}

const bytesOf = (objects: ReadonlyMap<string, StoredObject>): number =>
  [...objects.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
