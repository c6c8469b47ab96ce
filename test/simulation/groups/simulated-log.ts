/** The log of a simulated run: what holds in it after every record is what the exploration is about. */
import { Violation } from '../execution.js';
import { type Network, STORE } from './network.js';

export type LogRecord =
  | { readonly kind: 'claimed'; readonly owner: string }
  | { readonly kind: 'resumed'; readonly step: number }
  | { readonly kind: 'steps'; readonly step: number; readonly loss: number; readonly gradNorm: number }
  | { readonly kind: 'group'; readonly generation: number }
  | { readonly kind: 'ended' };

/** The claim is not valid any more. */
export class ClaimGone extends Error {
  override readonly name = 'ClaimGone';
}

export class SimulatedLog {
  readonly records: LogRecord[] = [];
  fence = 0;
  owner = '';
  /** Steps in the present history. */
  step = 0;
  ended = false;
  readonly #known = new Map<number, string>();

  constructor(
    private readonly network: Network,
    private readonly onViolation: (violation: Violation) => void,
    /** A planted fault: an append does not notice that the run was claimed again. */
    private readonly noFence: boolean,
  ) {}

  /** Claims the run if it still has the claim that was seen. @returns the new fence; undefined if another worker was faster */
  async claim(letter: string, seen: number): Promise<number | undefined> {
    return await this.#ask(letter, 'claims', () => {
      if (this.fence !== seen || this.ended) return undefined;
      this.records.push({ kind: 'claimed', owner: letter });
      this.owner = letter;
      this.fence = this.records.length;
      return this.fence;
    });
  }

  /** Appends a record of the owner. @throws ClaimGone */
  async append(letter: string, fence: number, record: LogRecord): Promise<void> {
    await this.#ask(letter, `appends ${JSON.stringify(record)}`, () => {
      if (this.fence !== fence && !this.noFence) throw new ClaimGone(`claim ${fence} of ${letter} is over`);
      if (this.ended && !this.noFence) throw new ClaimGone('the run has ended');
      this.#check(letter, record);
      this.records.push(record);
    });
  }

  #check(letter: string, record: LogRecord): void {
    const fail = (what: string): void => this.onViolation(new Violation(`${letter} writes ${JSON.stringify(record)}: ${what}`));
    if (this.owner !== letter) fail(`the run belongs to ${this.owner}`);
    if (this.ended) fail('the log has ended');
    if (record.kind === 'resumed') this.step = record.step;
    if (record.kind === 'steps') {
      if (record.step !== this.step) fail(`step ${this.step} is next`);
      const content = `${record.loss} ${record.gradNorm}`;
      const before = this.#known.get(record.step);
      if (before !== undefined && before !== content) fail(`it was ${before} in an earlier attempt`);
      this.#known.set(record.step, content);
      this.step = record.step + 1;
    }
    if (record.kind === 'ended') this.ended = true;
  }

  #ask<T>(letter: string, text: string, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.network.send(letter, STORE, text, () => {
        try {
          const value = work();
          this.network.send(STORE, letter, 'the answer of the store', () => resolve(value));
        } catch (error) {
          this.network.send(STORE, letter, 'the refusal of the store', () => reject(error as Error));
        }
      });
    });
  }
}
