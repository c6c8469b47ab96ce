/** The events of a run's log in words. */

import { enumWord } from '#spec/json-words.js';
import { num } from '../api/json.js';
import type { Event } from '../api/watch-run.js';
import { bytes, count, duration, percent, significant } from '../format/numbers.js';
import { idOf, stateWord } from '../format/words.js';

export interface LogLine {
  readonly sequence: string;
  readonly time: Date | undefined;
  /** How much the line matters: trouble is what people look for. */
  readonly tone: 'plain' | 'good' | 'trouble';
  readonly text: string;
}

/** A line for an event; undefined for trained steps, which the curves show. */
export function sentenceOf(event: Event): LogLine | undefined {
  const said = wordsOf(event);
  if (said === undefined) return undefined;
  const [text, tone = 'plain'] = said;
  return { sequence: event.sequence ?? '', time: event.time === undefined ? undefined : new Date(event.time), tone, text };
}

type Said = [text: string, tone?: LogLine['tone']];

function wordsOf(event: Event): Said | undefined {
  const { created, claimed, resumed, epoch, checkpoint, evaluation, state, scheduleChanged, dataSkipped, checkpointSkipped, status } =
    event;
  if (created !== undefined)
    return [`The run was created, with ${count(num(created.trainSamples))} training images in ${created.classes?.length ?? 0} classes.`];
  if (claimed !== undefined) return [claimText(claimed)];
  if (resumed !== undefined) {
    const from = resumed.checkpoint
      ? `goes on at step ${count(num(resumed.fromStep))} from checkpoint ${idOf(resumed.checkpoint)}`
      : 'starts from the beginning';
    const other = resumed.fingerprintChanged
      ? ' Its numerics differ from those of the checkpoint, so losses may differ in their last bits.'
      : '';
    return [`Attempt ${resumed.attempt ?? 1} ${from}.${other}`, other ? 'trouble' : 'plain'];
  }
  if (epoch !== undefined) {
    return [
      `Epoch ${(epoch.epoch ?? 0) + 1} ended after ${duration(num(epoch.seconds))}: mean loss ${significant(num(epoch.trainLoss))}, ${count(num(epoch.imagesPerSecond))} images/s.`,
    ];
  }
  if (checkpoint !== undefined) {
    return [
      `Checkpoint ${idOf(checkpoint.checkpoint)} was saved at step ${count(num(checkpoint.step))}: ${bytes(num(checkpoint.sizeBytes))} in ${duration(num(checkpoint.seconds))}.`,
    ];
  }
  if (evaluation !== undefined) return evaluationText(evaluation);
  if (scheduleChanged !== undefined) {
    return [`Revision ${scheduleChanged.revision} of the drop schedule is used from step ${count(num(scheduleChanged.effectiveStep))} on.`];
  }
  if (event.cutoffMeasured !== undefined) return cutoffText(event.cutoffMeasured);
  if (dataSkipped !== undefined) {
    const paths = dataSkipped.paths ?? [];
    return [
      `${paths.length === 1 ? 'A sample' : `${paths.length} samples`} could not be decoded and got a replacement: ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ', …' : ''}.`,
      'trouble',
    ];
  }
  if (checkpointSkipped !== undefined)
    return [
      `Checkpoint ${idOf(checkpointSkipped.checkpoint)} cannot be loaded, and the one before it is used: ${checkpointSkipped.reason}`,
      'trouble',
    ];
  if (event.group !== undefined) return [groupText(event.group)];
  if (event.pauseRequested !== undefined) return ['A pause was asked for. The worker saves a checkpoint after its step and stops.'];
  if (status !== undefined)
    return status.message ? [`The run ${status.message}.`.replace(/\.\.$/, '.'), 'trouble'] : ['The run no longer waits.'];
  if (state !== undefined) return stateText(state);
  return undefined;
}

function claimText({ attempt, worker, succeeds, engine, engineReason }: NonNullable<Event['claimed']>): string {
  const after = succeeds ? ` after ${succeeds}, which had ended` : '';
  const why = engineReason ? ` It computes with ${enumWord(engine)}, because ${engineReason}.` : '';
  return `${worker || 'A worker'} claimed the run${after} (attempt ${attempt ?? 1}).${why}`;
}

function groupText({ members = [], fromStep, reason }: NonNullable<Event['group']>): string {
  const [first, ...others] = members.map(({ worker, leaves = [] }) => `${worker || 'a worker'} (${leaves.length} leaves)`);
  const who = others.length === 0 ? `${first ?? 'One worker'} alone computes` : `${[first, ...others].join(', ')} compute`;
  return `${who} the run from step ${count(num(fromStep))} on${reason ? `: ${reason}` : ''}.`.replace(/\.\.$/, '.');
}

function evaluationText({ result, failure, checkpoint, best }: NonNullable<Event['evaluation']>): Said {
  const { weights, ema } = result ?? {};
  if (weights === undefined) return [`The evaluation of ${idOf(checkpoint)} failed: ${failure || 'it ended without a result'}`, 'trouble'];
  const average = ema === undefined ? '' : `; the moving average has ${percent(num(ema.top1) / 100, 2)}`;
  return [
    `${idOf(checkpoint)} has top-1 ${percent(num(weights.top1) / 100, 2)}, top-5 ${percent(num(weights.top5) / 100, 2)} and loss ${significant(num(weights.loss))}${average}.${best ? ' It is the best so far.' : ''}`,
    best ? 'good' : 'plain',
  ];
}

function cutoffText({
  errorWithDrop,
  errorWithoutDrop,
  failure,
  notHelping,
  endsAtStep,
  step,
}: NonNullable<Event['cutoffMeasured']>): Said {
  const at = `at step ${count(num(step))}`;
  if (failure) return [`The gradients ${at} could not be measured for the cutoff: ${failure}.`.replace(/\.\.$/, '.'), 'trouble'];
  const errors = `The direction error of the gradients ${at} is ${significant(num(errorWithDrop))} with drop and ${significant(num(errorWithoutDrop))} without`;
  if (num(endsAtStep) > 0) return [`${errors}: the drop ends at step ${count(num(endsAtStep))}.`, 'good'];
  return [`${errors}: ${num(notHelping) > 0 ? `drop has not helped in ${notHelping} measurements in a row` : 'drop helps'}.`];
}

function stateText({ state, reason, released }: NonNullable<Event['state']>): Said {
  const word = stateWord(state);
  const because = reason ? `: ${reason}` : '.';
  if (released) return [`The worker gave the run back because it is stopping${because}`];
  switch (word) {
    case 'succeeded':
      return [`The training is complete${because}`, 'good'];
    case 'failed':
      return [`The run failed${because}`, 'trouble'];
    case 'queued':
      return [`The run waits for a worker${because}`];
    default:
      return [`The run is ${word}${because}`];
  }
}
