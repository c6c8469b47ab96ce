/** Collects findings up to a bound, and repairs those that have one right answer. */
import { StorageError } from '#storage/object-store.js';
import { type Finding, kinds, type Severity } from './findings.js';

export interface ToldFinding {
  readonly kind: string;
  readonly severity: Severity;
  readonly where: string;
  readonly detail: string;
  readonly advice: string;
  /** What was done; absent if nothing was. */
  readonly repaired?: string;
  /** Why the repair failed. */
  readonly failed?: string;
}

/** Findings that are listed; further ones are only counted, and repaired. */
const maxListed = 10_000;

export class FindingList {
  readonly list: ToldFinding[] = [];
  /** Repairs that wait until the walk has ended, because a listing must not change under it. */
  readonly #repairs: { readonly at: number; readonly repair: NonNullable<Finding['repair']> }[] = [];
  #total = 0;
  #faults = 0;
  #repaired = 0;

  constructor(
    private readonly repairs: boolean,
    private readonly signal: AbortSignal,
  ) {}

  /** Number of findings of all severities. */
  get total(): number {
    return this.#total;
  }

  /** Number of damages and leftovers that are still there. */
  get unrepaired(): number {
    return this.#faults - this.#repaired;
  }

  readonly add = ({ kind, where, detail, repair }: Finding): void => {
    const { severity, advice } = kinds[kind];
    const at = this.#total++;
    if (severity !== 'note') this.#faults++;
    if (at < maxListed) this.list.push({ kind, severity, where, detail, advice });
    if (this.repairs && repair && this.#repairs.length < maxListed) this.#repairs.push({ at, repair });
  };

  /** Repairs in the order in which they were found. Further ones are found by the next check. */
  async repairAll(): Promise<void> {
    for (const { at, repair } of this.#repairs.splice(0)) {
      this.signal.throwIfAborted();
      const told = this.list[at];
      try {
        const repaired = await repair(this.signal);
        this.#repaired++;
        if (told) this.list[at] = { ...told, repaired };
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        if (told) this.list[at] = { ...told, failed: `it could not be repaired: ${error.message}` };
      }
    }
  }
}
