/** Handlers of SchedulerService. */

import { Violations } from '#errors/errors.js';
import type { DropScheduleSpec, TrainingLength } from '#protocol/dropstream/v1/schedule_types.js';
import { GetRatesResponse, PreviewScheduleResponse, type Rate, type SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import type { ChangeFeed } from '#rpc/change-feed.js';
import { type HandlersOf, unary, watchStream } from '#rpc/handlers.js';
import { checkDropSchedule, segmentMessage, toStored } from '#spec/drop-schedules.js';
import { checkFit, ratesOfBlocks, resolve } from './drop-spec.js';
import type { SchedulerMetrics } from './metrics.js';
import { encodeRates } from './rates-message.js';
import type { schedulerNames } from './request-names.js';
import * as requests from './requests.js';
import { protoSchedule, type RevisionRecord } from './revision-record.js';
import { sampleSteps } from './sample-steps.js';
import type { ScheduleStore } from './schedule-store.js';
import { watchRevisions } from './watch-revisions.js';

export interface SchedulerParts {
  readonly schedules: ScheduleStore;
  readonly feed: ChangeFeed<void>;
  readonly metrics: SchedulerMetrics;
}

export function schedulerHandlers({
  schedules,
  feed,
  metrics,
}: SchedulerParts): HandlersOf<typeof SchedulerServiceService, typeof schedulerNames> {
  const ratesOf = (spec: DropScheduleSpec, length: TrainingLength): ((steps: readonly number[]) => Rate[]) => {
    const schedule = resolve(spec, length);
    return (steps) => {
      metrics.rates.inc(steps.length);
      return steps.map((step) => {
        const rate = schedule.at(step);
        return { step: BigInt(step), rate, blockRates: ratesOfBlocks(spec.kind, rate, length.depth) };
      });
    };
  };

  return {
    createSchedule: unary(async (request, { names, signal, identity }) => {
      const { name, spec, requestId } = requests.parseCreate(request, names.parent);
      const record = await schedules.create(name, toStored(spec), { requestId, creator: identity?.principal }, signal);
      metrics.revisions.inc({ change: 'create' });
      return { schedule: protoSchedule(record) };
    }),

    getSchedule: unary(async (request, { names, signal }) => {
      const revision = requests.parseGet(request);
      return { schedule: protoSchedule(await schedules.get(names.name.name, revision, signal)) };
    }),

    listSchedules: unary(async (request, { names, signal }) => {
      const { project } = names.parent;
      const { page, binding } = requests.parseList(request);
      const { items, unreadable, nextPageToken } = await schedules.list(project, page, binding, signal);
      return { schedules: items.map(protoSchedule), unreadable, nextPageToken };
    }),

    updateSchedule: unary(async (request, { names, signal, identity }) => {
      const { update, merge } = requests.parseUpdate(request);
      const change = (newest: RevisionRecord) => toStored(merge(protoSchedule(newest).spec!));
      const { record, stored } = await schedules.append(names.name.name, { ...update, creator: identity?.principal }, change, signal);
      if (stored) metrics.revisions.inc({ change: 'update' });
      return { schedule: protoSchedule(record) };
    }),

    deleteSchedule: unary(async ({ etag }, { names, signal }) => {
      await schedules.delete(names.name.name, etag, signal);
      metrics.revisions.inc({ change: 'delete' });
      return {};
    }),

    previewSchedule: unary(async (request) => {
      const { spec, length, samples } = requests.parsePreview(request);
      const segments = resolve(spec, length).segments.map(segmentMessage);
      const query = { steps: sampleSteps(samples, length), depth: length.depth, ratesAt: ratesOf(spec, length) };
      return await encodeRates(PreviewScheduleResponse, { segments, samples: [] }, query, (some) => ({ segments: [], samples: some }));
    }),

    getRates: unary(async (request, { names, signal }) => {
      const { source, length, steps } = requests.parseGetRates(request, names.source?.schedule);
      const encode = (spec: DropScheduleSpec, revision: bigint) => {
        const query = { steps, depth: length.depth, ratesAt: ratesOf(spec, length) };
        return encodeRates(GetRatesResponse, { rates: [], revision }, query, (rates) => ({ rates, revision: 0n }));
      };
      if ('inline' in source) return await encode(source.inline, 0n);
      const { spec, revision } = protoSchedule(await schedules.get(source.name, source.revision, signal));
      const violations = new Violations();
      const stored = checkDropSchedule(violations, spec, 'schedule');
      if (stored) checkFit(violations, stored, length, 'schedule');
      violations.throwIfAny();
      return await encode(stored!, revision);
    }),

    watchSchedule: watchStream(async function* (request, { names, signal }) {
      const { name } = names.name;
      const after = requests.parseWatch(request);
      const leave = feed.enter();
      try {
        for await (const record of watchRevisions(schedules, feed, { name, uid: request.uid }, after, signal))
          yield { schedule: protoSchedule(record) };
      } finally {
        leave();
      }
    }),
  };
}
