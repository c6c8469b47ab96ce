/** Checks the fields of requests other than resource names. All violations are reported together. */

import { createHash } from 'node:crypto';
import { Violations } from '#errors/errors.js';
import { checkId, formatName, type ResourceName } from '#errors/resource-names.js';
import type { DropScheduleSpec, TrainingLength } from '#protocol/dropstream/v1/schedule_types.js';
import {
  type CreateScheduleRequest,
  type GetRatesRequest,
  type GetScheduleRequest,
  type ListSchedulesRequest,
  type PreviewScheduleRequest,
  UpdateScheduleRequest,
  type WatchScheduleRequest,
} from '#protocol/dropstream/v1/scheduler.js';
import { checkUpdateMask } from '#rpc/field-mask.js';
import { checkPage, type Page } from '#rpc/pagination.js';
import { checkRequestId } from '#rpc/request-id.js';
import { checkDropSchedule } from '#spec/drop-schedules.js';
import { checkFit, checkTraining } from './drop-spec.js';
import { maxRevisions } from './revision-series.js';

const maxSteps = 10_000;
/** Numbers that a step takes in an answer besides the rates of its blocks: at most 32 bytes for the step, its rate and the lengths. */
const numbersPerStep = 4;
/** Largest steps · (depth + numbersPerStep) of one answer. They are 4 MB, and gRPC clients accept answers of at most 4 MiB by default. */
const maxNumbers = 500_000;
const pageLimits = { defaultSize: 100, maxSize: 1000 };
const specFields = ['kind', 'rate', 'mode', 'schedule', 'cutoff_epoch'] as const;

export function parseCreate({ scheduleId, spec, requestId }: CreateScheduleRequest, { project }: ResourceName<'project'>) {
  const v = new Violations();
  checkId(v, scheduleId, 'schedule_id');
  checkRequestId(v, requestId);
  const checked = checkDropSchedule(v, spec, 'spec');
  v.throwIfAny();
  return { name: formatName('schedule', { project, schedule: scheduleId }), spec: checked!, requestId };
}

export function parseGet({ revision }: GetScheduleRequest): number {
  const v = new Violations();
  const number = checkRevision(v, revision, 'revision');
  v.throwIfAny();
  return number;
}

export function parseList(request: ListSchedulesRequest): { page: Page; binding: string } {
  const v = new Violations();
  const binding = `ListSchedules ${request.parent}`;
  const page = checkPage(v, request, binding, pageLimits);
  v.throwIfAny();
  return { page: page!, binding };
}

/** `merge` applies the masked fields to the newest spec and checks the result as a whole. */
export function parseUpdate(request: UpdateScheduleRequest) {
  const { spec, updateMask, etag, requestId } = request;
  const v = new Violations();
  checkRequestId(v, requestId);
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
  const digest = createHash('sha256').update(UpdateScheduleRequest.encode(request).finish()).digest('hex');
  return { update: { etag, requestId, digest }, merge };
}

export function parsePreview({ spec, length, samples }: PreviewScheduleRequest) {
  const v = new Violations();
  const checked = checkDropSchedule(v, spec, 'spec');
  const training = checkTraining(v, length);
  if (checked && training) checkFit(v, checked, training, 'spec');
  if (v.check(samples <= maxSteps, 'samples', samples, `at most ${maxSteps}`) && training) checkAnswerSize(v, samples, training, 'samples');
  v.throwIfAny();
  return { spec: checked!, length: training!, samples };
}

export type RatesSource = { readonly name: string; readonly revision: number } | { readonly inline: DropScheduleSpec };

/** `schedule` is the parsed name if the rates come from a stored schedule. */
export function parseGetRates({ source, revision, length, steps }: GetRatesRequest, schedule: ResourceName<'schedule'> | undefined) {
  const v = new Violations();
  const training = checkTraining(v, length);
  let from: RatesSource | undefined;
  if (schedule !== undefined) {
    from = { name: schedule.name, revision: checkRevision(v, revision, 'revision') };
  } else if (source?.$case === 'spec') {
    const inline = checkDropSchedule(v, source.value, 'spec');
    v.check(revision === 0n, 'revision', revision, '0 if the request has a spec');
    if (inline && training) checkFit(v, inline, training, 'spec');
    if (inline) from = { inline };
  } else v.add('source', undefined, 'given: schedule or spec');
  if (v.check(steps.length >= 1 && steps.length <= maxSteps, 'steps', `${steps.length} steps`, `1 to ${maxSteps} steps`) && training) {
    const total = BigInt(training.epochs) * BigInt(training.stepsPerEpoch);
    const at = steps.findIndex((step) => step >= total);
    v.check(at < 0, `steps[${at}]`, steps[at], `below epochs · steps_per_epoch = ${total}`);
    checkAnswerSize(v, steps.length, training, 'steps');
  }
  v.throwIfAny();
  return { source: from!, length: training!, steps: steps.map(Number) };
}

export function parseWatch({ afterRevision }: WatchScheduleRequest): number {
  const v = new Violations();
  const after = checkRevision(v, afterRevision, 'after_revision');
  v.throwIfAny();
  return after;
}

function checkRevision(v: Violations, revision: bigint, field: string): number {
  v.check(revision <= BigInt(maxRevisions), field, revision, `at most ${maxRevisions}`);
  return Number(revision);
}

function checkAnswerSize(v: Violations, steps: number, { depth }: TrainingLength, field: string): void {
  const most = Math.floor(maxNumbers / (depth + numbersPerStep));
  v.check(steps <= most, field, `${steps} steps at depth ${depth}`, `at most ${most} steps at this depth: an answer has at most 4 MiB`);
}
