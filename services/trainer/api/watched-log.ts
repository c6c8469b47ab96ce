/**
 * The log of a run as its watchers share it: the newest records are kept for all of them, and whatever is read from the store is read once for all who
 * ask for it at the same time. A watcher that is slow reads again what is no longer kept; nothing waits for it.
 */
import { orAborted } from '#bounds/or-aborted.js';
import { type RunEvent, RunEvent as RunEventCodec } from '#protocol/dropstream/v1/trainer.js';
import { LogDamaged } from '#storage/log-record.js';
import type { RecordLog } from '#storage/record-log.js';
import { eventOf } from '../run/run-log.js';
import { hasEnded } from '../run/run-state.js';

/** Largest number and size of the events that are kept. */
const keptEvents = 512;
const keptBytes = 1 << 20;
/** Largest number of records that one look reads. */
const readPerLook = 256;

export class WatchedLog {
  /** Oldest first. */
  readonly #events = new Map<number, { readonly event: RunEvent; readonly sizeBytes: number }>();
  readonly #reading = new Map<number, Promise<RunEvent>>();
  #keptBytes = 0;
  #newest: number;
  #ended: boolean;

  constructor(
    readonly log: RecordLog,
    newest: number,
    ended: boolean,
  ) {
    this.#newest = newest;
    this.#ended = ended;
  }

  /** The newest sequence known. */
  get newest(): number {
    return this.#newest;
  }

  /** True if the run had ended by `newest`. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Takes over what another reader of the log knows. */
  learn(newest: number, ended: boolean): void {
    if (newest < this.#newest) return;
    this.#newest = newest;
    this.#ended ||= ended;
  }

  /** Reads what was appended since the last look. Returns the newest sequence. */
  async look(signal: AbortSignal): Promise<number> {
    for (let reads = 0; reads < readPerLook && !this.#ended; reads++) {
      const record = await this.log.recordAfter(this.#newest, { signal });
      if (record === undefined) break;
      const event = eventOf(record);
      this.#keep(record.seq, event);
      this.learn(record.seq, event.event?.$case === 'state' && hasEnded(event.event.value.state));
    }
    return this.#newest;
  }

  /** The event with this sequence, which must not be greater than `newest`. @throws LogDamaged if there is no such record */
  async event(sequence: number, signal: AbortSignal): Promise<RunEvent> {
    const kept = this.#events.get(sequence);
    if (kept) return kept.event;
    const reading = this.#reading.get(sequence);
    // If the watcher that began to read has left meanwhile, this one reads for itself.
    if (reading) return await orAborted(reading, signal).catch(() => this.#read(sequence, signal));
    return await this.#read(sequence, signal);
  }

  #read(sequence: number, signal: AbortSignal): Promise<RunEvent> {
    const reading = (async () => {
      const record = await this.log.recordAfter(sequence - 1, { signal });
      if (record === undefined) throw new LogDamaged(`${this.log.prefix}/${sequence}`, 'it is missing, although later records exist');
      const event = eventOf(record);
      this.#keep(sequence, event);
      return event;
    })();
    this.#reading.set(sequence, reading);
    const done = (): void => {
      if (this.#reading.get(sequence) === reading) this.#reading.delete(sequence);
    };
    reading.then(done, done);
    return reading;
  }

  #keep(sequence: number, event: RunEvent): void {
    if (this.#events.has(sequence)) return;
    const sizeBytes = RunEventCodec.encode(event).finish().length;
    this.#events.set(sequence, { event, sizeBytes });
    this.#keptBytes += sizeBytes;
    for (const [oldest, { sizeBytes: size }] of this.#events) {
      if (this.#events.size <= keptEvents && this.#keptBytes <= keptBytes) break;
      this.#events.delete(oldest);
      this.#keptBytes -= size;
    }
  }
}
