/** Snapshots of the fold of a log. They spare reading the records before them, but not that those exist: their keys are listed. */
import { quietly } from '#bounds/quietly.js';
import { isSha256 } from './content-hash.js';
import { createExclusive } from './exclusive-create.js';
import { type JsonValue, LogDamaged, RecordTooLarge, SEAL, seqKey, seqOf } from './log-record.js';
import { listAll, MAX_LIST_LIMIT, ObjectNotFound, type ObjectStore, ObjectTooLarge } from './object-store.js';
import { SealBroken, sealJson, unsealJson } from './sealed-json.js';

export interface LogSnapshot {
  seq: number;
  /** SHA-256 of record `seq`. */
  last: string;
  state: JsonValue;
}

const KEPT = 2;
/** Number of pages of keys that are listed side by side. */
const PAGES_AT_ONCE = 8;

export class LogSnapshots {
  constructor(
    private readonly store: ObjectStore,
    /** That of the records. */
    private readonly prefix: string,
    private readonly maxBytes: number,
  ) {}

  /** If there is one of this sequence number, it is kept: both are equal. Older ones are deleted. */
  async write(snapshot: LogSnapshot, signal: AbortSignal | undefined): Promise<void> {
    const { bytes } = sealJson(snapshot, SEAL);
    if (bytes.length > this.maxBytes) throw new RecordTooLarge('snapshot', bytes.length, this.maxBytes);
    await createExclusive(this.store, seqKey(this.#folder, snapshot.seq), bytes, { contentType: 'application/json', signal });
    const keys = await this.#keys(signal);
    for (const key of keys.slice(0, -KEPT)) await this.store.delete(key, { signal });
  }

  /** The newest valid one. @throws LogDamaged if a record before it is missing */
  async newest(signal: AbortSignal | undefined): Promise<LogSnapshot | undefined> {
    for (const key of (await this.#keys(signal)).reverse()) {
      try {
        const { bytes } = await this.store.get(key, { maxBytes: this.maxBytes, signal });
        const { seq, last, state } = unsealJson(bytes, SEAL).value as LogSnapshot;
        if (key !== seqKey(this.#folder, seq) || !isSha256(last)) continue;
        await this.#requireAllUpTo(seq, signal);
        return { seq, last, state };
      } catch (error) {
        // This snapshot was deleted meanwhile or is damaged. An older one, or the whole log, gives the same result.
        if (!(error instanceof ObjectNotFound || error instanceof SealBroken || error instanceof ObjectTooLarge)) throw error;
      }
    }
    return undefined;
  }

  get #folder(): string {
    return `${this.prefix}-snapshots`;
  }

  async #keys(signal: AbortSignal | undefined): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of listAll(this.store, `${this.#folder}/`, { signal })) keys.push(key);
    return keys;
  }

  /** Numbers have no gaps, so it is known where each page of keys begins. @throws LogDamaged for the first number up to `last` without a record */
  async #requireAllUpTo(last: number, signal: AbortSignal | undefined): Promise<void> {
    const pages: Promise<void>[] = [];
    const size = this.store.maxListed ?? MAX_LIST_LIMIT;
    for (let from = 0; from < last; from += size) {
      if (pages.length === PAGES_AT_ONCE) await pages.shift();
      pages.push(quietly(this.#requirePage(from, Math.min(last, from + size), signal)));
    }
    for (const page of pages) await page;
  }

  async #requirePage(from: number, last: number, signal: AbortSignal | undefined): Promise<void> {
    const options = { after: from === 0 ? undefined : seqKey(this.prefix, from), limit: last - from, signal };
    const { objects } = await this.store.list(`${this.prefix}/`, options);
    const listed = new Set(objects.map(({ key }) => seqOf(this.prefix, key)));
    for (let seq = from + 1; seq <= last; seq++) if (!listed.has(seq)) await this.#requireOne(seq, signal);
  }

  /** For a record that is not in a listing. */
  async #requireOne(seq: number, signal: AbortSignal | undefined): Promise<void> {
    const key = seqKey(this.prefix, seq);
    await this.store.head(key, { signal }).catch((error) => {
      throw error instanceof ObjectNotFound ? new LogDamaged(key, 'it is missing, although a later snapshot exists', error) : error;
    });
  }
}
