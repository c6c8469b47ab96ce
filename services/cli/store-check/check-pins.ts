/** Finds the pins of one project that protect checkpoints for nobody: those whose evaluation or run has ended, or does not exist. */
import { type CheckContext, deleteKeys, reportWhenOld, type StoredObject } from './check-context.js';

export class PinsCheck {
  /** Uids of the evaluations and runs that have not ended, or of which that cannot be read. */
  readonly #open = new Set<string>();
  readonly #pins: StoredObject[] = [];

  constructor(private readonly context: CheckContext) {}

  /** What holds pins may come before or after the run whose checkpoints it needs. */
  holds(uid: string): void {
    this.#open.add(uid);
  }

  take(pin: StoredObject): void {
    this.#pins.push(pin);
  }

  /** Must be called when all evaluations and runs of the project are known. */
  finish(): void {
    for (const object of this.#pins) {
      const { key, parts } = object.parsed;
      const holder = parts.holderUid!;
      if (this.#open.has(holder)) continue;
      const detail = `there is no evaluation or run with the uid ${holder} that has not ended`;
      const repair = (signal: AbortSignal) => deleteKeys(this.context, [key], signal);
      reportWhenOld(this.context, { kind: 'pin-orphaned', where: key, detail, repair }, object);
    }
  }
}
