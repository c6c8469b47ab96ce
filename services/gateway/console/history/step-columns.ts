/** The metrics of a run's steps as columns of numbers, so that a million steps fit and charts read them without copies. */
import type { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';

export const columnNames = ['loss', 'lr', 'dropRate', 'weightDecay', 'gradNorm', 'classAcc', 'dataWaitSeconds', 'stepSeconds'] as const;
export type ColumnName = (typeof columnNames)[number];

const FIRST_CAPACITY = 1024;

export class StepColumns {
  length = 0;
  #steps = new Float64Array(FIRST_CAPACITY);
  readonly #columns = new Map<ColumnName, Float64Array<ArrayBuffer>>(columnNames.map((name) => [name, new Float64Array(FIRST_CAPACITY)]));

  /** Steps, ascending. */
  get steps(): Float64Array {
    return this.#steps.subarray(0, this.length);
  }

  /** Values of a column, one for each step; NaN where there is none. */
  column(name: ColumnName): Float64Array {
    return this.#columns.get(name)!.subarray(0, this.length);
  }

  push(metrics: Json<StepMetrics>): void {
    if (this.length === this.#steps.length) this.#grow();
    this.#steps[this.length] = num(metrics.step);
    for (const name of columnNames) {
      const value = metrics[name];
      // An absent accuracy is unknown; other absent numbers are 0.
      this.#columns.get(name)![this.length] = name === 'classAcc' && value === undefined ? Number.NaN : num(value);
    }
    this.length++;
  }

  /** Forgets the steps from `step` on: a resume does them again. */
  truncate(step: number): void {
    while (this.length > 0 && this.#steps[this.length - 1]! >= step) this.length--;
  }

  #grow(): void {
    const grown = (from: Float64Array) => {
      const to = new Float64Array(2 * from.length);
      to.set(from);
      return to;
    };
    this.#steps = grown(this.#steps);
    for (const [name, values] of this.#columns) this.#columns.set(name, grown(values));
  }
}
