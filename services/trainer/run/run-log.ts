/** A run's log in the store: its records are RunEvents as JSON, so that watchers get them as they are. */
import { formatName } from '#errors/resource-names.js';
import { RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { ObjectStore } from '#storage/object-store.js';
import { type JsonObject, type LogRecord, RecordLog } from '#storage/record-log.js';
import type { Standing } from '#work/claimed-log.js';
import { FoldedLog, type LogCodec } from '#work/folded-log.js';
import { QueueIndex } from '#work/queue-index.js';
import { applyEvent, decodeView, encodeView, type RunView } from './run-state.js';

export type EventBody = NonNullable<RunEvent['event']>;
export type RunLog = FoldedLog<EventBodyAt, RunView>;

/** A body with the time of its record; absent before it is written. */
export interface EventBodyAt {
  readonly body: EventBody | undefined;
  readonly time?: Date | undefined;
}

/** Records between snapshots: about a minute of steps, so that opening a run never reads more than that. */
const snapshotEvery = 200;
/** Bounds a StepsRecord of many micro-batches. */
const maxRecordBytes = 4 << 20;

export const runPrefix = (project: string, run: string): string => formatName('run', { project, run });
const logPrefix = (project: string, run: string): string => `${runPrefix(project, run)}/log`;
export const heartbeatPrefix = (project: string, run: string): string => `${runPrefix(project, run)}/heartbeats`;
export const checkpointPrefix = (project: string, run: string): string => `${runPrefix(project, run)}/checkpoints`;
export const manifestKeyOf = (checkpointName: string): string => `${checkpointName}/manifest.json`;

export const runQueue = (store: ObjectStore): QueueIndex => new QueueIndex(store, 'queue/runs');

const codec: LogCodec<EventBodyAt> = {
  encode: ({ body }) => {
    const json = RunEvent.toJSON({ sequence: 0n, time: undefined, event: body }) as JsonObject;
    return { kind: body?.$case ?? 'nothing', payload: json };
  },
  decode: (record) => {
    const { event, time } = eventOf(record);
    return { body: event, time };
  },
};

/** The event of a record, as watchers see it. */
export function eventOf(record: LogRecord): RunEvent {
  const { seq, at } = record;
  const event = RunEvent.fromJSON(record);
  return { ...event, sequence: BigInt(seq), time: at === undefined ? undefined : new Date(at) };
}

/** The log of a run, unread. */
export function openRunLog(store: ObjectStore, project: string, run: string): RunLog {
  const name = runPrefix(project, run);
  return new FoldedLog<EventBodyAt, RunView>({
    log: recordLog(store, project, run),
    codec,
    apply: (view, { body, time }, sequence) => applyEvent(view, { sequence: BigInt(sequence), time, event: body }, name),
    snapshots: {
      encode: (view) => JSON.parse(encodeView(view)),
      decode: (state) => decodeView(JSON.stringify(state)),
      every: snapshotEvery,
    },
  });
}

export function recordLog(store: ObjectStore, project: string, run: string): RecordLog {
  return new RecordLog(store, logPrefix(project, run), { maxRecordBytes });
}

/** Whether a run is to be claimed. */
export function standingOf({ run, fence, fruitlessAttempts }: RunView): Standing {
  const state = run.state === RunState.QUEUED ? 'waiting' : run.state === RunState.RUNNING ? 'owned' : 'over';
  return { state, fence, fruitlessAttempts };
}
