/** Checks the revisions of one incarnation of a schedule. */
import { createHash } from 'node:crypto';
import { type CheckContext, readObject, type StoredObject } from './check-context.js';

const maxRecordBytes = 1 << 20;

export class RevisionsCheck {
  readonly #acknowledged: number[] = [];
  #last: number;
  /** SHA-256 of the revision with the number #last; undefined if it is not known. */
  #digest: string | undefined;

  constructor(
    private readonly context: CheckContext,
    private readonly owner: { readonly name: string; readonly uid: string },
    /** Number of the revision before the first one of this incarnation; undefined if its incarnation cannot be read. */
    after: number | undefined,
  ) {
    this.#last = after ?? -1;
  }

  /** Takes the objects of the series in the order of their keys. */
  async take({ parsed }: StoredObject): Promise<void> {
    const number = Number(parsed.parts.number);
    if (parsed.kind === 'acknowledgement') {
      this.#acknowledged.push(number);
      return;
    }
    if (this.#last === -1) this.#last = number - 1;
    for (let missing = this.#last + 1; missing < number; missing++) await this.#missing(missing, `the series goes on with ${number}`);
    this.#last = number;
    const bytes = await readObject(this.context, parsed.key, maxRecordBytes);
    if (bytes !== undefined) this.#check(parsed.key, number, bytes);
  }

  async finish(): Promise<void> {
    for (const number of this.#acknowledged) if (number > this.#last) await this.#missing(number, 'it was stored as the newest one');
  }

  async #missing(number: number, detail: string): Promise<void> {
    const { name, uid } = this.owner;
    const where = `${name}/${uid}/revisions/${String(number).padStart(12, '0')}.json`;
    // A revision that the listing lacks may have been written while it ran.
    const found = await readObject(this.context, where, maxRecordBytes);
    if (found !== undefined) return this.#check(where, number, found);
    this.context.report({ kind: 'revision-missing', where, detail });
    this.#digest = undefined;
  }

  #check(where: string, number: number, bytes: Buffer): void {
    const { name, uid } = this.owner;
    const before = this.#digest;
    this.#digest = createHash('sha256').update(bytes).digest('hex');
    let record: { name?: unknown; uid?: unknown; revision?: unknown; previous?: unknown } | null;
    try {
      record = JSON.parse(bytes.toString('utf8'));
    } catch (error) {
      this.context.report({ kind: 'revision-unreadable', where, detail: (error as Error).message });
      return;
    }
    if (typeof record?.name !== 'string' || typeof record.revision !== 'number') {
      this.context.report({ kind: 'revision-unreadable', where, detail: 'it is not a revision of a schedule' });
    } else if (record.name !== name || record.uid !== uid || record.revision !== number) {
      const detail = `it is revision ${record.revision} of ${record.name} with the uid ${record.uid}`;
      this.context.report({ kind: 'revision-misplaced', where, detail });
    } else if (record.previous !== '' && before !== undefined && record.previous !== before) {
      const detail = `it follows a revision with the SHA-256 ${record.previous}, and that of the one before is ${before}`;
      this.context.report({ kind: 'revision-misplaced', where, detail });
    }
  }
}
