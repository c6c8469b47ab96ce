/** What each request must hold: every violation at once, before any work. */

import { Violations } from '#errors/errors.js';
import { checkId, checkName } from '#errors/resource-names.js';
import type { DropScheduleSpec, TrainingLength } from '#protocol/dropstream/v1/schedule_types.js';
import type {
  CreateScheduleRequest,
  DeleteScheduleRequest,
  GetRatesRequest,
  GetScheduleRequest,
  ListSchedulesRequest,
  PreviewScheduleRequest,
  UpdateScheduleRequest,
  WatchScheduleRequest,
} from '#protocol/dropstream/v1/scheduler.js';
import { checkUpdateMask } from '#rpc/field-mask.js';
import { checkPage, type Page } from '#rpc/pagination.js';
import { checkRequestId } from '#rpc/request-id.js';
import { checkDropSchedule } from '#spec/drop-schedules.js';
import { checkFit, checkTraining } from './drop-spec.js';
import { maxRevisions } from './schedule-store.js';

const maxSteps = 10_000;
/** steps · depth of one answer: 8 MB. */
const maxBlockRates = 1_000_000;
const pageLimits = { defaultSize: 100, maxSize: 1000 };
const specFields = ['kind', 'rate', 'mode', 'schedule', 'cutoff_epoch'] as const;

export function parseCreate({ parent, scheduleId, spec, requestId }: CreateScheduleRequest) {
  const v = new Violations();
  checkName(v, 'project', parent, 'parent');
  checkId(v, scheduleId, 'schedule_id');
  checkRequestId(v, requestId);
  const checked = checkDropSchedule(v, spec, 'spec');
  v.throwIfAny();
  return { name: `${parent}/schedules/${scheduleId}`, spec: checked!, requestId };
}

export function parseGet({ name, revision }: GetScheduleRequest) {
  const v = new Violations();
  checkName(v, 'schedule', name);
  const number = checkRevision(v, revision, 'revision');
  v.throwIfAny();
  return { name, revision: number };
}

export function parseList(request: ListSchedulesRequest): { project: string; page: Page; binding: string } {
  const v = new Violations();
  const ids = checkName(v, 'project', request.parent, 'parent');
  const binding = `ListSchedules ${request.parent}`;
  const page = checkPage(v, request, binding, pageLimits);
  v.throwIfAny();
  return { project: ids!.project, page: page!, binding };
}

/** `merge` puts the masked fields over the newest spec; the outcome is checked as a whole. */
export function parseUpdate({ name, spec, updateMask, etag }: UpdateScheduleRequest) {
  const v = new Violations();
  checkName(v, 'schedule', name);
  const mask = checkUpdateMask(v, updateMask, specFields);
  if (v.check(spec !== undefined, 'spec', undefined, 'given') && mask?.size === specFields.length) checkDropSchedule(v, spec, 'spec');
  v.throwIfAny();
  const merge = (newest: DropScheduleSpec): DropScheduleSpec => {
    const from = (field: (typeof specFields)[number]): DropScheduleSpec => (mask!.has(field) ? spec! : newest);
    const merged: DropScheduleSpec = {
      kind: from('kind').kind,
      rate: from('rate').rate,
      mode: from('mode').mode,
      schedule: from('schedule').schedule,
      cutoffEpoch: from('cutoff_epoch').cutoffEpoch,
    };
    const checks = new Violations();
    const checked = checkDropSchedule(checks, merged, 'spec');
    checks.throwIfAny();
    return checked!;
  };
  return { name, etag, merge };
}

export function parseDelete({ name, etag }: DeleteScheduleRequest) {
  const v = new Violations();
  checkName(v, 'schedule', name);
  v.throwIfAny();
  return { name, etag };
}

export function parsePreview({ spec, length, samples }: PreviewScheduleRequest) {
  const v = new Violations();
  const checked = checkDropSchedule(v, spec, 'spec');
  const training = checkTraining(v, length);
  v.check(samples <= maxSteps, 'samples', samples, `at most ${maxSteps}`);
  if (checked && training) checkFit(v, checked, training, 'spec');
  if (training) checkBlockRates(v, samples, training, 'samples');
  v.throwIfAny();
  return { spec: checked!, length: training!, samples };
}

export type RatesSource = { readonly name: string; readonly revision: number } | { readonly inline: DropScheduleSpec };

export function parseGetRates({ source, revision, length, steps }: GetRatesRequest) {
  const v = new Violations();
  const training = checkTraining(v, length);
  let from: RatesSource | undefined;
  if (source?.$case === 'schedule') {
    checkName(v, 'schedule', source.value, 'schedule');
    from = { name: source.value, revision: checkRevision(v, revision, 'revision') };
  } else if (source?.$case === 'spec') {
    const inline = checkDropSchedule(v, source.value, 'spec');
    v.check(revision === 0n, 'revision', revision, '0 with an inline spec');
    if (inline && training) checkFit(v, inline, training, 'spec');
    if (inline) from = { inline };
  } else v.add('source', undefined, 'schedule or spec');
  if (v.check(steps.length >= 1 && steps.length <= maxSteps, 'steps', `${steps.length} steps`, `1 to ${maxSteps} steps`) && training) {
    const total = BigInt(training.epochs) * BigInt(training.stepsPerEpoch);
    const at = steps.findIndex((step) => step >= total);
    v.check(at < 0, `steps[${at}]`, steps[at], `below epochs · steps_per_epoch = ${total}`);
    checkBlockRates(v, steps.length, training, 'steps');
  }
  v.throwIfAny();
  return { source: from!, length: training!, steps: steps.map(Number) };
}

export function parseWatch({ name, afterRevision }: WatchScheduleRequest) {
  const v = new Violations();
  checkName(v, 'schedule', name);
  const after = checkRevision(v, afterRevision, 'after_revision');
  v.throwIfAny();
  return { name, after };
}

function checkRevision(v: Violations, revision: bigint, field: string): number {
  v.check(revision <= BigInt(maxRevisions), field, revision, `at most ${maxRevisions}`);
  return Number(revision);
}

function checkBlockRates(v: Violations, steps: number, { depth }: TrainingLength, field: string): void {
  v.check(steps * depth <= maxBlockRates, field, `${steps} steps at depth ${depth}`, `such that steps · depth is at most ${maxBlockRates}`);
}
