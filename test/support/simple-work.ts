/** The simplest kind of work for tests of queues: created, claimed, and then done or queued again. */
import type { ObjectStore } from '#storage/object-store.js';
import { RecordLog } from '#storage/record-log.js';
import { silentLogger } from '#telemetry/logger.js';
import type { Standing } from '#work/claimed-log.js';
import { ClaimedWorker, type ClaimedWorkerOptions } from '#work/claimed-worker.js';
import { FoldedLog, type LogCodec } from '#work/folded-log.js';
import { Incarnations, incarnationFolder } from '#work/incarnations.js';
import type { Place } from '#work/queue-hints.js';
import { type QueueEntry, QueueIndex } from '#work/queue-index.js';

export type SimpleEvent =
  | { kind: 'created'; place: Place }
  | { kind: 'claimed'; worker: string }
  | { kind: 'done' | 'queued'; text: string };
export interface SimpleView extends Standing {
  readonly owner: string;
  readonly place: Place;
}
export type SimpleOptions = ClaimedWorkerOptions<SimpleEvent, SimpleView, { readonly kind: 'done' }>;

const codec: LogCodec<SimpleEvent> = {
  encode: ({ kind, ...payload }) => ({ kind, payload: payload as never }),
  decode: (record) => record as unknown as SimpleEvent,
};

function apply(view: SimpleView | undefined, event: SimpleEvent, sequence: number): SimpleView {
  if (event.kind === 'created') return { state: 'waiting', fence: 0, fruitlessAttempts: 0, owner: '', place: event.place };
  if (view === undefined) throw new Error('the log has no first record');
  if (event.kind === 'claimed') return { ...view, state: 'owned', fence: sequence, owner: event.worker };
  return { ...view, state: event.kind === 'queued' ? 'waiting' : 'over' };
}

const nameOf = ({ project, id }: Omit<QueueEntry, 'uid'>): string => `projects/${project}/work/${id}`;
export const folderOf = (entry: QueueEntry): string => incarnationFolder(nameOf(entry), entry.uid);

export const simpleLog = (store: ObjectStore, entry: QueueEntry): FoldedLog<SimpleEvent, SimpleView> =>
  new FoldedLog<SimpleEvent, SimpleView>({ log: new RecordLog(store, `${folderOf(entry)}/log`), codec, apply });

/** Queues work. @param place undefined: as version 0.2 did it, without a hint */
export async function enqueue(store: ObjectStore, queue: QueueIndex, work: Omit<QueueEntry, 'uid'>, place?: Place): Promise<QueueEntry> {
  const { uid } = await new Incarnations(store).mint('work', nameOf(work), () => ({}));
  const entry = { ...work, uid };
  await queue.add(entry);
  await simpleLog(store, entry).append((view) => (view ? undefined : { kind: 'created', place: place ?? { priority: 0, sinceMs: 1 } }));
  if (place) await queue.hints.add('claim', entry, place);
  return entry;
}

/** A worker that finishes its work at once, unless `part` says otherwise. The caller starts and stops it. */
export function simpleWorker(
  store: ObjectStore,
  prefix: string,
  part: Partial<SimpleOptions>,
): ClaimedWorker<SimpleEvent, SimpleView, { readonly kind: 'done' }> {
  return new ClaimedWorker<SimpleEvent, SimpleView, { readonly kind: 'done' }>({
    kind: 'work',
    progress: 'anything done',
    queue: new QueueIndex(store, prefix),
    store,
    config: { workers: 1, pollMs: 10, leaseTtlMs: 60_000, maxAttempts: 3, backoffMs: 1 },
    logger: silentLogger(),
    openLog: (entry) => simpleLog(store, entry),
    name: nameOf,
    heartbeatPrefix: (entry) => `${folderOf(entry)}/heartbeats`,
    standing: (view) => view,
    place: ({ place }) => place,
    claim: (_, worker) => ({ kind: 'claimed', worker }),
    attempt: async () => ({ kind: 'done' }),
    ended: () => ({ kind: 'done', text: '' }),
    failed: (text) => ({ kind: 'queued', text }),
    isDeterministic: () => false,
    onOutcome: () => {},
    onDepth: () => {},
    onActive: () => {},
    ...part,
  });
}
