/** Handlers of TrainerService. */

import { FailedPrecondition, invalid, NotFound, Violations } from '#errors/errors.js';
import { Checkpoint, type Run, RunState, type TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import { type HandlersOf, unary, watchStream } from '#rpc/handlers.js';
import { listPage } from '#rpc/list-page.js';
import { checkPage, parsePage } from '#rpc/pagination.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { EventBody } from '../run/run-log.js';
import { hasEnded, type RunView } from '../run/run-state.js';
import { SeriesStore } from '../run/series/series-store.js';
import { describeCheckpoint, describeImported, resolveAlias, storedCheckpoints } from './checkpoints.js';
import { type CreateDeps, prepareRun } from './create-run.js';
import type { trainerNames } from './request-names.js';
import { runFilter, runOrder } from './run-filter.js';
import { answerSeries, parseSeries } from './run-series.js';
import type { Runs } from './runs.js';

export interface TrainerParts extends CreateDeps {
  readonly store: ObjectStore;
  readonly runs: Runs;
}

const pageLimits = { defaultSize: 100, maxSize: 1000 };
const maxExpirySeconds = 604_800;

export function trainerHandlers({
  store,
  runs,
  datasets,
  scheduler,
  data,
}: TrainerParts): HandlersOf<typeof TrainerServiceService, typeof trainerNames> {
  const series = new SeriesStore(store);
  return {
    createRun: unary(async (request, { names, signal, identity }) => {
      const deps = { store, datasets, scheduler, data };
      const { project, id, record, finetune } = await prepareRun(request, names, deps, { signal, identity });
      if (request.validateOnly) {
        await runs.quotas.check(project, { isStored: false }, signal);
        return { run: record.run };
      }
      const { run } = await runs.create(project, id, record, signal, finetune);
      return { run };
    }),

    getRun: unary(async (_, { names, signal }) => {
      const { project, run } = names.name;
      return { run: (await runs.get(project, run, signal)).run };
    }),

    listRuns: unary(async (request, { names, signal }) => {
      const violations = new Violations();
      const filter = violations.collect(() => runFilter(request.filter));
      const order = violations.collect(() => runOrder(request.orderBy));
      // A token is a place in one list: of these runs, in this order.
      const binding = JSON.stringify(['ListRuns', request.parent, request.filter, request.orderBy]);
      const page = checkPage(violations, request, binding, pageLimits);
      violations.throwIfAny();
      const query = { filter, order: order!, page: page!, binding };
      const { items, unreadable, nextPageToken } = await runs.list(names.parent.project, query, signal);
      return { runs: items, unreadable, nextPageToken };
    }),

    deleteRun: unary(async (request, { names, signal }) => {
      const { project, run } = names.name;
      await runs.delete(project, run, request.etag, signal);
      return {};
    }),

    watchRun: watchStream(async function* (request, { names, signal }) {
      const { project, run } = names.name;
      const { run: now } = await runs.get(project, run, signal);
      if (request.uid !== '' && request.uid !== now.uid) throw new NotFound('run', `${now.name} with uid ${request.uid.slice(0, 64)}`);
      if (request.afterSequence > now.logSequence) {
        throw invalid('after_sequence', request.afterSequence, `at most ${now.logSequence}, the newest sequence`);
      }
      for await (const event of runs.watch({ project, id: run, uid: now.uid }, Number(request.afterSequence), signal)) {
        yield { event };
      }
    }),

    getRunSeries: unary(async (request, { names, signal }) => {
      const { project, run } = names.name;
      const query = parseSeries(request);
      const view = await runs.get(project, run, signal);
      return await answerSeries(series, { project, id: run, uid: view.run.uid }, view, query, signal);
    }),

    pauseRun: unary(async (_, { names, signal }) => {
      const { project, run } = names.name;
      return { run: (await runs.change(project, run, pause, signal)).run };
    }),

    resumeRun: unary(async (_, { names, signal }) => {
      const { project, run } = names.name;
      return { run: (await runs.requeue(project, run, resume, signal)).run };
    }),

    cancelRun: unary(async (_, { names, signal }) => {
      const { project, run } = names.name;
      return { run: await runs.cancel(project, run, cancel, signal) };
    }),

    listCheckpoints: unary(async (request, { names, signal }) => {
      const { project, run } = names.parent;
      const view = await runs.get(project, run, signal);
      const binding = `ListCheckpoints ${request.parent} ${view.run.uid}`;
      const page = parsePage(request, binding, pageLimits);
      // These places ascend while checkpoints descend, so that a page continues after the previous one, whatever was added since.
      const stored = (await storedCheckpoints(store, view, signal)).map(({ id, sequence }) => ({ id, place: descending(sequence) }));
      const { items, unreadable, nextPageToken } = await listPage({
        keys: stored.filter(({ place }) => page.after === undefined || place > page.after),
        nameOf: ({ id }) => `${view.run.name}/checkpoints/${id}`,
        placeOf: ({ place }) => place,
        // A checkpoint that was deleted since it was listed is left out.
        read: async ({ id }) => await describeCheckpoint(store, view, id, signal).catch(absentIfDeleted),
        bytesOf: (checkpoint) => Checkpoint.encode(checkpoint).finish().length,
        page,
        binding,
      });
      return { checkpoints: items, unreadable, nextPageToken };
    }),

    getCheckpoint: unary(async (request, { names, signal }) => {
      const { project, run, checkpoint } = names.name;
      const seconds = request.urlExpirySeconds || 3600;
      if (seconds > maxExpirySeconds) throw invalid('url_expiry_seconds', seconds, `from 0 to ${maxExpirySeconds}`);
      const view = await runs.get(project, run, signal).catch(absentIfDeleted);
      if (view === undefined) return { checkpoint: await describeImported(store, names.name.name, signal, seconds) };
      return { checkpoint: await describeCheckpoint(store, view, resolveAlias(view, checkpoint), signal, seconds) };
    }),
  };
}

/** Asks the worker of a running run; pauses a waiting run at once. */
function pause({ run }: RunView): EventBody | undefined {
  if (run.state === RunState.PAUSED || run.pauseRequested) return undefined;
  refuseEnded(run, 'paused');
  if (run.state === RunState.QUEUED)
    return { $case: 'state', value: { state: RunState.PAUSED, reason: 'paused before a worker took it', released: false } };
  return { $case: 'pauseRequested', value: {} };
}

function resume({ run }: RunView): EventBody | undefined {
  refuseEnded(run, 'resumed');
  if (run.state === RunState.QUEUED || run.state === RunState.RUNNING) return undefined;
  return { $case: 'state', value: { state: RunState.QUEUED, reason: 'resumed', released: false } };
}

function cancel({ run }: RunView): EventBody | undefined {
  if (run.state === RunState.CANCELLED) return undefined;
  refuseEnded(run, 'cancelled');
  return { $case: 'state', value: { state: RunState.CANCELLED, reason: 'cancelled by request', released: false } };
}

function refuseEnded({ name, state }: Run, what: string): void {
  if (!hasEnded(state)) return;
  const text = { [RunState.SUCCEEDED]: 'has succeeded', [RunState.FAILED]: 'has failed', [RunState.CANCELLED]: 'was cancelled' } as Record<
    number,
    string
  >;
  throw new FailedPrecondition('run', name, `it ${text[state]} and cannot be ${what}`);
}

function absentIfDeleted(error: unknown): undefined {
  if (!(error instanceof NotFound)) throw error;
}

/** Sorts in descending order of sequence numbers, which have at most 12 digits. */
function descending(sequence: number): string {
  return String(10 ** 12 - 1 - sequence).padStart(12, '0');
}
