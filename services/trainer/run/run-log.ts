/** The log of a run in the store. Its records are RunEvents as JSON, which WatchRun returns unchanged. */
import { formatName } from '#errors/resource-names.js';
import { RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { JsonObject, LogRecord } from '#storage/log-record.js';
import type { ObjectStore } from '#storage/object-store.js';
import { RecordLog } from '#storage/record-log.js';
import type { Standing } from '#work/claimed-log.js';
import { FoldedLog, type LogCodec, type StorePatience } from '#work/folded-log.js';
import { incarnationFolder } from '#work/incarnations.js';
import type { Place } from '#work/queue-hints.js';
import { QueueIndex } from '#work/queue-index.js';
import { applyEvent, BrokenRunLog, decodeView, encodeView, hasEnded, type RunView } from './run-state.js';

export type EventBody = NonNullable<RunEvent['event']>;
export type RunLog = FoldedLog<EventBodyAt, RunView>;

/** An event's body with the time of its record, which is absent before the record is written. */
export interface EventBodyAt {
  readonly body: EventBody | undefined;
  readonly time?: Date | undefined;
}

/** Number of records between snapshots: about a minute of steps, which is the most that opening a run has to read. */
const snapshotEvery = 200;
/** Limits the size of a StepsRecord with many micro-batches. */
const maxRecordBytes = 4 << 20;

/** One incarnation of a run's name. */
export interface RunKey {
  readonly project: string;
  readonly id: string;
  readonly uid: string;
}

export const runName = (project: string, run: string): string => formatName('run', { project, run });
const folderOf = ({ project, id, uid }: RunKey): string => incarnationFolder(runName(project, id), uid);
/** Of what series-store.ts keeps. */
export const seriesPrefix = (key: RunKey): string => `${folderOf(key)}/series`;
export const heartbeatPrefix = (key: RunKey): string => `${folderOf(key)}/heartbeats`;

export const runQueue = (store: ObjectStore): QueueIndex => new QueueIndex(store, 'run-queue');

/** Kind and payload of the record of an event. */
export function recordOf({ body }: EventBodyAt): { readonly kind: string; readonly payload: JsonObject } {
  const json = RunEvent.toJSON({ sequence: 0n, time: undefined, event: body }) as JsonObject;
  return { kind: body?.$case ?? 'nothing', payload: json };
}

const codec: LogCodec<EventBodyAt> = {
  encode: recordOf,
  decode: (record) => {
    const { event, time } = eventOf(record);
    return { body: event, time };
  },
};

/** The event that WatchRun returns for a record. */
export function eventOf(record: LogRecord): RunEvent {
  const { seq, at } = record;
  const event = RunEvent.fromJSON(record);
  return { ...event, sequence: BigInt(seq), time: at === undefined ? undefined : new Date(at) };
}

/** Opens the log of a run without reading it. @param patience see FoldedLog */
export function openRunLog(store: ObjectStore, key: RunKey, patience: StorePatience = {}): RunLog {
  const name = runName(key.project, key.id);
  return new FoldedLog<EventBodyAt, RunView>({
    log: recordLog(store, key),
    codec,
    apply: (before, { body, time }, sequence) => {
      const view = applyEvent(before, { sequence: BigInt(sequence), time, event: body }, name);
      if (view.run.uid !== key.uid) throw new BrokenRunLog(name, sequence, `it is that of ${view.run.uid}, but lies below ${key.uid}`);
      return view;
    },
    snapshots: {
      encode: (view) => JSON.parse(encodeView(view)),
      decode: (state) => decodeView(JSON.stringify(state)),
      every: snapshotEvery,
      isLast: (view) => hasEnded(view.run.state),
    },
    ...patience,
  });
}

export function recordLog(store: ObjectStore, key: RunKey): RecordLog {
  return new RecordLog(store, `${folderOf(key)}/log`, { maxRecordBytes });
}

/** Tells workers whether a run can be claimed. */
export function standingOf({ run, fence, fruitlessAttempts }: RunView): Standing {
  const state = run.state === RunState.QUEUED ? 'waiting' : run.state === RunState.RUNNING ? 'owned' : 'over';
  return { state, fence, fruitlessAttempts };
}

/** Where a run stands in the queue. */
export function placeOf({ run }: RunView): Place {
  return { priority: run.spec?.priority ?? 0, sinceMs: run.createTime?.getTime() ?? 0 };
}
