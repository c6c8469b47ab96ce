/**
 * The metrics of steps as columns, in the order of the steps. A run that is resumed trains some steps again: those that were trained later count, and a
 * step that comes again takes everything after it away.
 */
import type { StepMetrics } from '#protocol/dropstream/v1/trainer.js';

/** In the order of the columns, and of the enum StepMetric from 1 on. */
const columns: readonly ((step: StepMetrics) => number | undefined)[] = [
  (step) => step.loss,
  (step) => step.lr,
  (step) => step.dropRate,
  (step) => step.weightDecay,
  (step) => step.gradNorm,
  (step) => step.classAcc,
  (step) => step.dataWaitSeconds,
  (step) => step.stepSeconds,
];
export const metricCount = columns.length;

export interface StepColumns {
  /** Ascending, without gaps but for steps that the log does not have. */
  readonly steps: Float64Array;
  /** By metric; NaN where a step has no value. */
  readonly values: readonly Float64Array[];
}

export class ColumnsBuilder {
  #count = 0;
  #steps = new Float64Array(1024);
  #values = columns.map(() => new Float64Array(1024));

  add(step: StepMetrics): void {
    const number = Number(step.step);
    this.#goBackTo(number);
    this.#reserve(1);
    this.#steps[this.#count] = number;
    for (const [m, column] of columns.entries()) this.#values[m]![this.#count] = column(step) ?? Number.NaN;
    this.#count++;
  }

  /** Later columns. */
  append({ steps, values }: StepColumns): void {
    if (steps.length === 0) return;
    this.#goBackTo(steps[0]!);
    this.#reserve(steps.length);
    this.#steps.set(steps, this.#count);
    for (const [m, column] of values.entries()) this.#values[m]!.set(column, this.#count);
    this.#count += steps.length;
  }

  /** What was added so far; it does not change any more. */
  build(): StepColumns {
    return { steps: this.#steps.slice(0, this.#count), values: this.#values.map((column) => column.slice(0, this.#count)) };
  }

  #goBackTo(step: number): void {
    if (this.#count > 0 && this.#steps[this.#count - 1]! >= step) this.#count = placeOf(this.#steps, step, this.#count);
  }

  #reserve(more: number): void {
    if (this.#count + more <= this.#steps.length) return;
    const grown = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const larger = new Float64Array(Math.max(2 * column.length, this.#count + more));
      larger.set(column.subarray(0, this.#count));
      return larger;
    };
    this.#steps = grown(this.#steps);
    this.#values = this.#values.map(grown);
  }
}

/** The place of the first of `count` ascending numbers that is not below `wanted`. */
export function placeOf(ascending: Float64Array, wanted: number, count = ascending.length): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
