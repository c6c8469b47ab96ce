/** Parses and checks the fields of requests other than resource names. All violations are reported together. */

import type { ProjectManifest } from '#data/manifest/manifest-location.js';
import { BatchPlanner } from '#data/plan/batch-plan.js';
import { checkPlanFits, type Plan, resolvePlan } from '#data/plan/plan.js';
import { planDigest } from '#data/plan/plan-digest.js';
import { FailedPrecondition, invalid, Violations } from '#errors/errors.js';
import { PIXEL_SEMANTICS_VERSION } from '#native/pixels.js';
import {
  type DescribeDatasetRequest,
  type GetBatchRequest,
  PixelFormat,
  type Plan as PlanMessage,
  type PreviewBatchRequest,
} from '#protocol/dropstream/v1/data.js';
import { nextPageToken, parsePage } from '#rpc/pagination.js';
import { isSha256, sha256Rule } from '#storage/content-hash.js';
import type { OpenDataset } from './open-datasets.js';

export interface BatchQuery {
  /** Id of the project for which the batch is read. */
  readonly project: string;
  readonly plan: Plan;
  readonly planDigest: string;
  readonly epoch: number;
  readonly index: number;
}

/** A parsed GetBatch request. */
export interface GetBatchQuery extends BatchQuery {
  readonly format: PixelFormat;
  readonly readAhead: number;
  /** Name of the client; '' stands for the connection. */
  readonly client: string;
}

/** @throws InvalidArgument, FailedPrecondition (other pixel semantics or another plan digest) */
export function parseGetBatch(request: GetBatchRequest, project: string): GetBatchQuery {
  const violations = new Violations();
  const formats = [PixelFormat.UNSPECIFIED, PixelFormat.UINT8, PixelFormat.FLOAT32, PixelFormat.BFLOAT16];
  violations.check(formats.includes(request.format), 'format', request.format, 'UINT8, FLOAT32 or BFLOAT16');
  violations.check(request.planDigest === '' || isSha256(request.planDigest), 'plan_digest', request.planDigest, `${sha256Rule}, or empty`);
  violations.check(request.client.length <= 128, 'client', request.client, 'at most 128 characters');
  violations.check(request.readAhead <= 64, 'read_ahead', request.readAhead, 'from 0 to 64');
  const query = parseQuery(request, project, violations);
  if (request.planDigest !== '' && request.planDigest !== query.planDigest)
    throw new FailedPrecondition(
      'plan',
      request.planDigest,
      `this replica computes the digest ${query.planDigest} for the plan, so its version differs from the caller's`,
    );
  const { readAhead, client } = request;
  return { ...query, readAhead, client, format: request.format === PixelFormat.UNSPECIFIED ? PixelFormat.UINT8 : request.format };
}

/** @throws the errors of parseGetBatch */
export function parsePreviewBatch(
  request: PreviewBatchRequest,
  project: string,
): BatchQuery & { readonly from: number; readonly limit: number } {
  const violations = new Violations();
  violations.check(request.limit <= 64, 'limit', request.limit, 'from 1 to 64, or 0 for 16');
  const query = parseQuery(request, project, violations);
  const { after } = parsePage({ pageSize: 0, pageToken: request.pageToken }, previewBinding(query));
  return { ...query, from: Number(after ?? 0), limit: request.limit || 16 };
}

/** The token of the page that begins with a slot of the batch. */
export function previewToken(query: BatchQuery, slot: number): string {
  return nextPageToken(String(slot), previewBinding(query));
}

const previewBinding = ({ project, planDigest, epoch, index }: BatchQuery): string =>
  `PreviewBatch ${project}/${planDigest}/${epoch}/${index}`;

export const manifestOf = ({ project, plan }: BatchQuery): ProjectManifest => ({ project, sha256: plan.manifest });

/** The SHA-256 of the manifest, and the plan to describe. @throws InvalidArgument, FailedPrecondition (other pixel semantics) */
export function parseDescribe({ dataset, plan }: DescribeDatasetRequest): { manifest: string; plan: Plan | undefined } {
  const violations = new Violations();
  const manifest = dataset?.manifest ?? '';
  violations.check(isSha256(manifest), 'dataset.manifest', manifest, sha256Rule);
  const named = plan?.dataset?.manifest;
  violations.check(!named || named === manifest, 'plan.dataset.manifest', named, 'that of the request, or empty');
  const resolved = plan && violations.collect(() => resolvePlan({ ...plan, dataset: { manifest } }));
  violations.throwIfAny();
  if (plan) checkSemantics(plan);
  return { manifest, plan: resolved };
}

function parseQuery(
  request: { plan?: PlanMessage | undefined; epoch: number; index: number },
  project: string,
  violations: Violations,
): BatchQuery {
  const plan = violations.collect(() => resolvePlan(request.plan));
  violations.throwIfAny();
  checkSemantics(request.plan);
  const digest = planDigest(plan as Plan, PIXEL_SEMANTICS_VERSION);
  return { project, plan: plan as Plan, planDigest: digest, epoch: request.epoch, index: request.index };
}

function checkSemantics(plan: PlanMessage | undefined): void {
  const semantics = plan?.pixelSemantics ?? 0;
  if (semantics !== 0 && semantics !== PIXEL_SEMANTICS_VERSION)
    throw new FailedPrecondition('pixel semantics', String(semantics), `this replica has version ${PIXEL_SEMANTICS_VERSION}`);
}

/** @throws InvalidArgument if the plan does not fit the data set or the index is past the end of an epoch */
export function plannerOf({ plan, index }: BatchQuery, { manifest }: OpenDataset): BatchPlanner {
  checkPlanFits(plan, manifest);
  const planner = new BatchPlanner(plan, manifest);
  if (index >= planner.batchesPerEpoch)
    throw invalid('index', index, `below ${planner.batchesPerEpoch}, the number of batches in an epoch`);
  return planner;
}
