/**
 * The digest of a plan: the SHA-256 of the canonical JSON of everything that decides a batch's bytes, with defaults filled in. Every request carries
 * it, so a replica that understands the plan differently refuses instead of serving other pixels.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';
import type { Plan } from './plan.js';

/** Version of the draws and the order in libs/data. Raise it whenever the same plan would give other crops, operations or orders. */
export const PLAN_SEMANTICS_VERSION = 1;

/** The text that is hashed, readable by people. */
export function planText(plan: Plan, pixelSemantics: number): string {
  const { transform, mix } = plan;
  return canonicalJson({
    format: 'dropstream.plan.v1',
    planSemantics: PLAN_SEMANTICS_VERSION,
    pixelSemantics,
    manifest: plan.manifest,
    order: plan.order,
    blocks: plan.blocks && { ...plan.blocks },
    subset: { ...plan.subset },
    batchSize: plan.batchSize,
    rank: plan.rank,
    worldSize: plan.worldSize,
    seed: String(plan.seed),
    transform: {
      inputSize: transform.inputSize,
      training: transform.training,
      colorJitter: transform.colorJitter,
      aa: transform.aa,
      interpolation: transform.interpolation,
      cropPct: transform.cropPct ?? null,
      erasing: { ...transform.erasing },
      imagenetMeanAndStd: transform.imagenetMeanAndStd,
      cropPadding: transform.cropPadding,
      flip: transform.flip,
    },
    mix: mix ? { ...mix, minmax: mix.minmax ?? null } : null,
  });
}

/** Returns 64 hex digits. */
export function planDigest(plan: Plan, pixelSemantics: number): string {
  return createHash('sha256').update(planText(plan, pixelSemantics)).digest('hex');
}
