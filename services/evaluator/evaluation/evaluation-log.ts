/** The log of an evaluation in the store. */
import { formatName } from '#errors/resource-names.js';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { JsonObject, LogRecord } from '#storage/log-record.js';
import type { ObjectStore } from '#storage/object-store.js';
import { RecordLog } from '#storage/record-log.js';
import type { Standing } from '#work/claimed-log.js';
import { FoldedLog, type LogCodec, type StorePatience } from '#work/folded-log.js';
import { incarnationFolder } from '#work/incarnations.js';
import type { Place } from '#work/queue-hints.js';
import { QueueIndex } from '#work/queue-index.js';
import { applyEvent, type EvaluationEvent, type EvaluationView } from './evaluation-state.js';

export type EvaluationLog = FoldedLog<EvaluationEvent, EvaluationView>;

/** One incarnation of an evaluation's name. */
export interface EvaluationKey {
  readonly project: string;
  readonly id: string;
  readonly uid: string;
}

export const evaluationName = (project: string, id: string): string => formatName('evaluation', { project, evaluation: id });
const folderOf = ({ project, id, uid }: EvaluationKey): string => incarnationFolder(evaluationName(project, id), uid);
export const heartbeatPrefix = (key: EvaluationKey): string => `${folderOf(key)}/heartbeats`;
export const evaluationQueue = (store: ObjectStore): QueueIndex => new QueueIndex(store, 'evaluation-queue');

const codec: LogCodec<EvaluationEvent> = {
  encode: ({ kind, ...payload }) => ({ kind, payload: payload as JsonObject }),
  decode: (record: LogRecord) => record as unknown as EvaluationEvent,
};

/** Opens the log of an evaluation without reading it. It is short: a few claims, and progress at most once per second. */
export function openEvaluationLog(store: ObjectStore, key: EvaluationKey, patience: StorePatience = {}): EvaluationLog {
  return new FoldedLog({
    log: recordLog(store, key),
    codec,
    apply: (before, event, sequence) => {
      const view = applyEvent(before, event, sequence);
      const { name, uid } = view.evaluation;
      if (uid !== key.uid) throw new Error(`the log of evaluation ${name} is that of ${uid}, but lies below ${key.uid}`);
      return view;
    },
    ...patience,
  });
}

export function recordLog(store: ObjectStore, key: EvaluationKey): RecordLog {
  return new RecordLog(store, `${folderOf(key)}/log`);
}

export function standingOf({ evaluation, fence, fruitlessAttempts }: EvaluationView): Standing {
  const { state } = evaluation;
  return {
    state: state === EvaluationState.PENDING ? 'waiting' : state === EvaluationState.RUNNING ? 'owned' : 'over',
    fence,
    fruitlessAttempts,
  };
}

/** Where an evaluation stands in the queue. */
export function placeOf({ evaluation }: EvaluationView): Place {
  return { priority: 0, sinceMs: evaluation.createTime?.getTime() ?? 0 };
}
