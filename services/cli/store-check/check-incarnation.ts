/** Checks the objects of one incarnation of a run, schedule or evaluation. */
import { listAll } from '#storage/object-store.js';
import { SealBroken, unsealJson } from '#storage/sealed-json.js';
import type { Incarnation } from '#work/incarnations.js';
import { entrySegment } from '#work/name-index.js';
import { CheckpointsCheck } from './check-checkpoints.js';
import { type CheckContext, deleteKeys, exists, isOld, readObject, reportWhenOld, type StoredObject } from './check-context.js';
import { LogCheck, type LogFacts } from './check-log.js';
import type { PinsCheck } from './check-pins.js';
import { RevisionsCheck } from './check-revisions.js';

export interface Owner {
  /** projects/P/runs/R */
  readonly name: string;
  readonly project: string;
  readonly collection: string;
  readonly id: string;
  readonly uid: string;
}

const maxSnapshotBytes = 16 << 20;

/** Takes the objects of one incarnation that its name belongs to. */
export class IncarnationCheck {
  readonly #log: LogCheck;
  readonly #revisions: RevisionsCheck;
  readonly #checkpoints: CheckpointsCheck;
  readonly #snapshots: StoredObject[] = [];
  readonly #heartbeats: StoredObject[] = [];
  readonly #pinned = new Set<string>();
  readonly #folder: string;
  #newestMs = 0;
  #endMissing = false;

  constructor(
    private readonly context: CheckContext,
    private readonly owner: Owner,
    private readonly incarnation: Incarnation,
    private readonly pins: PinsCheck,
  ) {
    this.#folder = `${owner.name}/${owner.uid}`;
    const { after } = incarnation.facts;
    this.#log = new LogCheck(context, owner);
    this.#revisions = new RevisionsCheck(context, owner, typeof after === 'number' ? after : undefined);
    this.#checkpoints = new CheckpointsCheck(context, `${this.#folder}/checkpoints`);
  }

  async take(object: StoredObject): Promise<void> {
    this.#newestMs = Math.max(this.#newestMs, object.writtenMs);
    switch (object.parsed.kind) {
      case 'record':
        return await this.#log.take(object);
      case 'revision':
      case 'acknowledgement':
        return await this.#revisions.take(object);
      case 'checkpointManifest':
      case 'checkpointPart':
        return this.#checkpoints.take(object);
      case 'snapshot':
        this.#snapshots.push(object);
        return;
      case 'heartbeat':
        this.#heartbeats.push(object);
        return;
      case 'pin':
        this.#pinned.add(object.parsed.parts.checkpoint!);
        this.pins.take(object);
        return;
    }
  }

  async finish(): Promise<void> {
    if (this.owner.collection === 'schedules') {
      await this.#revisions.finish();
      if (!this.incarnation.deleted) await this.#indexed();
      return;
    }
    const log = await this.#log.finish();
    const imported = this.incarnation.facts.imported === true;
    if (log.last === 0 && !imported) {
      reportUnbegun(this.context, this.#folder, this.#newestMs);
      return;
    }
    if (!log.ended || !log.whole) this.pins.holds(this.owner.uid);
    for (const object of this.#snapshots) await this.#snapshot(object, log);
    for (const object of this.#heartbeats) this.#heartbeat(object, log);
    const endMissing = await this.#checkpoints.finish(imported ? undefined : log, this.#pinned);
    if (imported) return;
    await this.#indexed();
    await this.#queued({ ...log, whole: log.whole && !endMissing && !this.#endMissing });
  }

  async #snapshot(object: StoredObject, log: LogFacts): Promise<void> {
    const { key, parts } = object.parsed;
    const seq = Number(parts.number);
    if (seq > log.last) {
      const detail = `it stands for ${seq} records, and the log ends with ${log.last}`;
      // The log may have grown since it was listed.
      if (await exists(this.context, `${this.#folder}/log/${parts.number}`)) return;
      this.#endMissing = true;
      this.context.report({ kind: 'log-end-missing', where: key, detail });
      return;
    }
    const bytes = await readObject(this.context, key, maxSnapshotBytes);
    if (bytes === undefined) return;
    const why = whyNoSnapshot(bytes, seq);
    if (why === undefined) return;
    const repair = (signal: AbortSignal) => deleteKeys(this.context, [key], signal);
    this.context.report({ kind: 'snapshot-damaged', where: key, detail: why, repair });
  }

  #heartbeat(object: StoredObject, log: LogFacts): void {
    const { key, parts } = object.parsed;
    const fence = Number(parts.number);
    if (fence > log.last && log.whole && isOld(this.context, object)) {
      this.#endMissing = true;
      this.context.report({
        kind: 'log-end-missing',
        where: key,
        detail: `it belongs to a claim in record ${fence}, and the log ends with ${log.last}`,
      });
      return;
    }
    const isOrphaned = log.whole && (log.ended || !log.queued || fence < log.claim);
    if (!isOrphaned) return;
    const detail = log.ended
      ? 'the work has ended'
      : fence < log.claim
        ? `the claim was followed by that of record ${log.claim}`
        : 'nobody works on it';
    reportWhenOld(
      this.context,
      { kind: 'lease-orphaned', where: key, detail, repair: (signal) => deleteKeys(this.context, [key], signal) },
      object,
    );
  }

  /** Without its entry in the index no list shows it. */
  async #indexed(): Promise<void> {
    const { project, collection, id, uid } = this.owner;
    await this.#hint('index-missing', `projects/${project}/index/${collection}/${entrySegment(id, uid)}`);
  }

  /** Without its entry in the queue no worker finds it. */
  async #queued(log: LogFacts): Promise<void> {
    const { project, collection, id, uid } = this.owner;
    if (!log.queued || !log.whole) return;
    await this.#hint('queue-missing', `${collection === 'runs' ? 'run-queue' : 'evaluation-queue'}/${project}/${entrySegment(id, uid)}`);
  }

  async #hint(kind: 'index-missing' | 'queue-missing', key: string): Promise<void> {
    if (await exists(this.context, key)) return;
    const repair = async (signal: AbortSignal): Promise<string> => {
      await this.context.store.put(key, Buffer.from('{}'), { contentType: 'application/json', signal });
      return `wrote ${key}`;
    };
    this.context.report({ kind, where: this.#folder, detail: `there is no ${key}`, repair });
  }
}

/** Counts the objects of an incarnation that nobody may look at any more, or of which nobody knows. */
export class StrayIncarnation {
  #objects = 0;
  #bytes = 0;
  #newestMs = 0;

  constructor(
    private readonly context: CheckContext,
    private readonly folder: string,
  ) {}

  take({ sizeBytes, writtenMs }: StoredObject): void {
    this.#objects++;
    this.#bytes += sizeBytes;
    this.#newestMs = Math.max(this.#newestMs, writtenMs);
  }

  deleted(): void {
    const repair = async (signal: AbortSignal): Promise<string> => {
      let count = 0;
      for await (const { key } of listAll(this.context.store, `${this.folder}/`, { signal })) {
        await this.context.store.delete(key, { signal });
        count++;
      }
      return `deleted ${count} objects`;
    };
    this.context.report({ kind: 'deletion-unfinished', where: this.folder, detail: this.#detail, repair });
  }

  unknown(): void {
    const isNew = !isOld(this.context, { writtenMs: this.#newestMs });
    this.context.report({
      kind: 'incarnation-unknown',
      where: this.folder,
      detail: `${this.#detail}${isNew ? ', the newest from today' : ''}`,
    });
  }

  get #detail(): string {
    return `${this.#objects} objects, ${this.#bytes} bytes`;
  }
}

function reportUnbegun(context: CheckContext, where: string, newestMs: number): void {
  const isNew = !isOld(context, { writtenMs: newestMs });
  context.report({ kind: isNew ? 'in-progress' : 'log-missing', where, detail: 'it has objects and no log' });
}

function whyNoSnapshot(bytes: Buffer, seq: number): string | undefined {
  try {
    const value = unsealJson(bytes, 'sha256').value as { seq?: unknown } | null;
    return value?.seq === seq ? undefined : `it is that of record ${String(value?.seq)}`;
  } catch (error) {
    return error instanceof SealBroken ? error.message : `it is no JSON: ${(error as Error).message}`;
  }
}
