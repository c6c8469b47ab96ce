/** What a reader knows of the records of a log: their SHA-256, by which it notices that one of them was lost and written again. */
import { RecentMap } from '#bounds/recent-map.js';
import { follows, LogDamaged, type LogRecord, type SealedRecord, seqKey } from './log-record.js';

/** Number of records whose SHA-256 is remembered, for readers that read on at several places. */
const REMEMBERED = 16;

export class RecordChain {
  #head = 0;
  #headSha256 = '';
  readonly #recent = new RecentMap<number, string>(REMEMBERED);

  constructor(private readonly prefix: string) {}

  /** The newest sequence number that was read or written without a gap before it; 0 if none. */
  get head(): number {
    return this.#head;
  }

  /** '' before the first record. */
  get headSha256(): string {
    return this.#headSha256;
  }

  /** Makes a record the head. */
  advance(seq: number, sha256: string): void {
    this.#head = seq;
    this.#headSha256 = sha256;
    this.#recent.set(seq, sha256);
  }

  /** Of the head, and of records that were read or written lately. */
  sha256Of(seq: number): string | undefined {
    if (seq === 0) return '';
    return seq === this.#head ? this.#headSha256 : this.#recent.get(seq);
  }

  /** @throws LogDamaged if the record is not the one that was read before, or does not follow the one before it, as far as that one is known */
  take({ record, sha256 }: SealedRecord): LogRecord {
    const key = seqKey(this.prefix, record.seq);
    const before = this.sha256Of(record.seq - 1);
    if (before !== undefined && !follows(record, before)) {
      const why = `it follows a record with SHA-256 ${record.previous || '(none)'}, but that of ${seqKey(this.prefix, record.seq - 1)} is ${before || '(none)'}`;
      throw new LogDamaged(key, `${why}: one of the two was lost and written again`);
    }
    const earlier = this.sha256Of(record.seq);
    if (earlier !== undefined && earlier !== sha256)
      throw new LogDamaged(key, `it has SHA-256 ${sha256}, but when it was read before, it had ${earlier}: it was lost and written again`);
    if (record.seq === this.#head + 1) this.advance(record.seq, sha256);
    else this.#recent.set(record.seq, sha256);
    return record;
  }
}
