/** Writes the TensorBoard event file of a run from the run's log. The same log gives the same bytes, whoever follows it and how often. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { EvaluationRecord, RunEvent, StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { scalarEvent, versionEvent } from './event-records.js';
import { emptyRecord, endedEpoch, type RunRecord, takeRecord } from './run-record.js';

/** A record that is kept when the run resumes from an earlier step. */
interface Scores {
  readonly epoch: number;
  readonly offset: number;
  readonly bytes: Buffer;
}

/**
 * Overwrites an existing file from the beginning with the same bytes and then appends to it, so a program that reads the file meanwhile
 * notices only the additions. Steps that a later attempt repeats are cut off.
 */
export class EventFile {
  readonly #record: RunRecord = emptyRecord();
  /** Offset of each step's record in bytes, in step order. */
  readonly #steps: { readonly step: number; readonly offset: number }[] = [];
  readonly #scores: Scores[] = [];
  #handle: FileHandle | undefined;
  #offset = 0;

  constructor(private readonly folder: string) {}

  /** Takes the next event. Events must come in order, from the first of the log. */
  async take(event: RunEvent): Promise<void> {
    const seconds = (event.time?.getTime() ?? 0) / 1000;
    takeRecord(this.#record, event);
    const e = event.event;
    if (e?.$case === 'created') {
      const name = `events.out.tfevents.${Math.floor(seconds)}.${this.#record.run.split('/').at(-1)}`;
      this.#handle = await openInPlace(join(this.folder, name));
      await this.#write(versionEvent(seconds));
    } else if (e?.$case === 'resumed') await this.#rollBack(Number(e.value.fromStep));
    else if (e?.$case === 'steps') await this.#takeSteps(seconds, e.value.steps);
    else if (e?.$case === 'evaluation') await this.#evaluation(seconds, e.value);
  }

  /** @param whole true if every record of the log was taken, so that the file can be cut after the last one */
  async close(whole: boolean): Promise<void> {
    if (whole) await this.#handle?.truncate(this.#offset);
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #takeSteps(seconds: number, steps: readonly StepMetrics[]): Promise<void> {
    const records: Buffer[] = [];
    let offset = this.#offset;
    for (const metrics of steps) {
      const step = Number(metrics.step);
      const bytes = scalarEvent(seconds, step, [
        ['loss/loss', metrics.loss],
        ...(metrics.classAcc === undefined ? [] : ([['loss/class_acc', metrics.classAcc]] as const)),
        ['opt/lr', metrics.lr],
        ['opt/min_lr', metrics.lr * this.#record.smallestScale],
        ['opt/weight_decay', metrics.weightDecay],
        ['opt/grad_norm', metrics.gradNorm],
        ...(metrics.lossScale === undefined ? [] : ([['opt/loss_scale', metrics.lossScale]] as const)),
      ]);
      this.#steps.push({ step, offset });
      records.push(bytes);
      offset += bytes.byteLength;
    }
    await this.#write(Buffer.concat(records));
  }

  async #evaluation(seconds: number, { step, result }: EvaluationRecord): Promise<void> {
    const epoch = endedEpoch(this.#record, step);
    if (epoch === undefined || result?.weights === undefined || this.#scores.some((scores) => scores.epoch === epoch)) return;
    const { weights, ema } = result;
    const bytes = scalarEvent(seconds, epoch, [
      ['perf/test_acc1', weights.top1],
      ['perf/test_acc5', weights.top5],
      ['perf/test_loss', weights.loss],
      ...(ema === undefined ? [] : ([['perf/test_acc1_ema', ema.top1]] as const)),
    ]);
    this.#scores.push({ epoch, offset: this.#offset, bytes });
    await this.#write(bytes);
  }

  /** Drops the steps from `step` on; scores that were written between them are kept. */
  async #rollBack(step: number): Promise<void> {
    const first = this.#steps.findIndex((record) => record.step >= step);
    if (first < 0) return;
    this.#offset = this.#steps[first]!.offset;
    this.#steps.length = first;
    const kept = this.#scores.findIndex(({ offset }) => offset >= this.#offset);
    const later = kept < 0 ? [] : this.#scores.splice(kept);
    await this.#handle?.truncate(this.#offset);
    for (const scores of later) {
      this.#scores.push({ ...scores, offset: this.#offset });
      await this.#write(scores.bytes);
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#handle === undefined) return;
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done, this.#offset + done);
      done += bytesWritten;
    }
    this.#offset += bytes.byteLength;
  }
}

async function openInPlace(path: string): Promise<FileHandle> {
  return await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return open(path, 'wx+');
    throw error;
  });
}
