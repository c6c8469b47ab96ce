/** What a run's log says, as a fold over its events: the curves, the epochs, the evaluations, the marks on charts, and the log in words. */

import type { ScheduleSegment } from '#protocol/dropstream/v1/schedule_types.js';
import type { EpochRecord, EvaluationRecord, GroupRecord } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import type { Event } from '../api/watch-run.js';
import { significant } from '../format/numbers.js';
import { idOf, type RunStateWord, stateWord } from '../format/words.js';
import { type LogLine, sentenceOf } from './sentences.js';
import { StepColumns } from './step-columns.js';

export interface Mark {
  readonly kind: 'resume' | 'checkpoint' | 'evaluation' | 'schedule' | 'failure';
  readonly step: number;
  readonly text: string;
}

export interface EvaluationPoint {
  readonly step: number;
  readonly checkpoint: string;
  readonly record: Json<EvaluationRecord>;
}

/** Older lines of the log are dropped; a run that is resumed for weeks does not fill the page's memory. */
export const MOST_LINES = 2000;

export class RunHistory {
  readonly steps = new StepColumns();
  readonly epochs = new Map<number, Json<EpochRecord>>();
  readonly evaluations: EvaluationPoint[] = [];
  readonly lines: LogLine[] = [];
  marks: Mark[] = [];
  classes: readonly string[] = [];
  segments: readonly Json<ScheduleSegment>[] = [];
  state: RunStateWord = 'unknown';
  attempt = 0;
  worker = '';
  /** The workers that compute the run together; undefined: one alone, or none. */
  group: Json<GroupRecord> | undefined;
  /** Sequence number of the newest event. */
  sequence = '0';
  /** The records of the log from the second one up to this sequence number were not read; 0: all were. */
  unreadUntil = 0;
  /** Where the newest attempt began; a report, or the end of a long log, may have none of its steps. */
  #from = 0;

  constructor(readonly stepsPerEpoch: number) {}

  take(event: Event): void {
    this.sequence = event.sequence ?? this.sequence;
    for (const step of event.steps?.steps ?? []) {
      this.steps.push(step);
      if (!Number.isFinite(num(step.loss))) this.#mark('failure', num(step.step), `loss ${significant(num(step.loss))}`);
    }
    if (event.created !== undefined) {
      this.classes = event.created.classes ?? [];
      this.segments = event.created.run?.dropSegments ?? [];
    }
    if (event.claimed !== undefined) {
      this.attempt = event.claimed.attempt ?? 0;
      this.worker = event.claimed.worker ?? '';
      this.state = 'running';
      this.group = undefined;
    }
    if (event.resumed !== undefined) this.#resume(num(event.resumed.fromStep), event.resumed.attempt ?? 0);
    if (event.epoch !== undefined) this.epochs.set(event.epoch.epoch ?? 0, event.epoch);
    if (event.checkpoint !== undefined) {
      this.#mark('checkpoint', num(event.checkpoint.step), `checkpoint ${idOf(event.checkpoint.checkpoint)}`);
    }
    if (event.evaluation !== undefined) this.addEvaluation(event.evaluation);
    if (event.scheduleChanged !== undefined) {
      this.segments = event.scheduleChanged.segments ?? [];
      this.#mark('schedule', num(event.scheduleChanged.effectiveStep), `revision ${event.scheduleChanged.revision} of the schedule`);
    }
    const cutoff = event.cutoffMeasured;
    if (cutoff?.endsAtStep !== undefined && num(cutoff.endsAtStep) > 0) {
      this.segments = cutoff.segments ?? [];
      this.#mark('schedule', num(cutoff.endsAtStep), 'the drop ends');
    }
    const state = event.state?.state ?? event.created?.state;
    if (event.group !== undefined) this.group = (event.group.members?.length ?? 0) > 1 ? event.group : undefined;
    if (state !== undefined) {
      this.state = stateWord(state);
      if (this.state !== 'running') this.group = undefined;
      if (this.state === 'failed') this.#mark('failure', this.steps.steps.at(-1) ?? this.#from, 'the run failed');
    }
    const line = sentenceOf(event);
    if (line !== undefined) this.lines.push(line);
    if (this.lines.length > MOST_LINES) this.lines.splice(0, this.lines.length - MOST_LINES);
  }

  /** Takes an evaluation, from the log or from the evaluator; the newest ones of a long run come from both. */
  addEvaluation(record: Json<EvaluationRecord>): void {
    if (record.evaluation && this.evaluations.some((known) => known.record.evaluation === record.evaluation)) return;
    const step = num(record.step);
    this.evaluations.push({ step, checkpoint: record.checkpoint ?? '', record });
    const weights = record.result?.weights;
    // A top-1 of 0 is absent in JSON.
    this.#mark('evaluation', step, weights === undefined ? 'evaluation failed' : `top-1 ${num(weights.top1).toFixed(2)} %`);
    if (!Number.isFinite(num(weights?.loss))) this.#mark('failure', step, `evaluation loss ${significant(num(weights?.loss))}`);
  }

  /** Takes what came before the events that are known, down to the record after `after`. @returns the number of lines that the log has more */
  takeOlder(events: readonly Event[], after: number): number {
    const known = this.lines.length;
    const knownEvaluations = this.evaluations.length;
    const marks = this.marks;
    const epochs = new Map<number, Json<EpochRecord>>();
    this.marks = [];
    for (const event of events) {
      const { epoch, checkpoint, evaluation, resumed } = event;
      if (epoch !== undefined) epochs.set(epoch.epoch ?? 0, epoch);
      if (checkpoint !== undefined) this.#mark('checkpoint', num(checkpoint.step), `checkpoint ${idOf(checkpoint.checkpoint)}`);
      if (evaluation !== undefined) this.addEvaluation(evaluation);
      if ((resumed?.attempt ?? 0) > 1) this.#mark('resume', num(resumed?.fromStep), `attempt ${resumed?.attempt} goes on`);
      const line = sentenceOf(event);
      if (line !== undefined) this.lines.push(line);
    }
    // What is known is newer, and may have replaced an epoch; the last evaluation is the newest one.
    for (const [number, epoch] of epochs) if (!this.epochs.has(number)) this.epochs.set(number, epoch);
    this.evaluations.unshift(...this.evaluations.splice(knownEvaluations));
    this.marks = [...this.marks, ...marks];
    this.lines.sort((a, b) => Number(a.sequence) - Number(b.sequence));
    this.unreadUntil = after > 1 ? after : 0;
    return this.lines.length - known;
  }

  /** Seconds of a step, averaged over the newest ones; undefined before the first one. */
  get secondsPerStep(): number | undefined {
    const recent = this.steps.column('stepSeconds').subarray(-60);
    return recent.length === 0 ? undefined : recent.reduce((sum, seconds) => sum + seconds, 0) / recent.length;
  }

  #resume(step: number, attempt: number): void {
    this.steps.truncate(step);
    this.#from = step;
    for (const epoch of this.epochs.keys()) if ((epoch + 1) * this.stepsPerEpoch > step) this.epochs.delete(epoch);
    if (attempt > 1) this.#mark('resume', step, `attempt ${attempt} goes on`);
  }

  #mark(kind: Mark['kind'], step: number, text: string): void {
    this.marks = [...this.marks.slice(-MOST_LINES), { kind, step, text }];
  }
}
