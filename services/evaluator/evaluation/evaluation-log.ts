/** An evaluation's log in the store. */
import { formatName } from '#errors/resource-names.js';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { ObjectStore } from '#storage/object-store.js';
import { type JsonObject, type LogRecord, RecordLog } from '#storage/record-log.js';
import type { Standing } from '#work/claimed-log.js';
import { FoldedLog, type LogCodec } from '#work/folded-log.js';
import { QueueIndex } from '#work/queue-index.js';
import { applyEvent, type EvaluationEvent, type EvaluationView } from './evaluation-state.js';

export type EvaluationLog = FoldedLog<EvaluationEvent, EvaluationView>;

export const evaluationPrefix = (project: string, id: string): string => formatName('evaluation', { project, evaluation: id });
export const heartbeatPrefix = (project: string, id: string): string => `${evaluationPrefix(project, id)}/heartbeats`;
export const evaluationQueue = (store: ObjectStore): QueueIndex => new QueueIndex(store, 'queue/evaluations');

const codec: LogCodec<EvaluationEvent> = {
  encode: ({ kind, ...payload }) => ({ kind, payload: payload as JsonObject }),
  decode: (record: LogRecord) => record as unknown as EvaluationEvent,
};

/** The log of an evaluation, unread. It is short: a few claims, and progress at most once a second. */
export function openEvaluationLog(store: ObjectStore, project: string, id: string): EvaluationLog {
  return new FoldedLog({ log: new RecordLog(store, `${evaluationPrefix(project, id)}/log`), codec, apply: applyEvent });
}

export function standingOf({ evaluation, fence, fruitlessAttempts }: EvaluationView): Standing {
  const { state } = evaluation;
  return {
    state: state === EvaluationState.PENDING ? 'waiting' : state === EvaluationState.RUNNING ? 'owned' : 'over',
    fence,
    fruitlessAttempts,
  };
}
