/** Everything that decides the content of every batch: the resolved form of the proto's Plan, with every default filled in. */

import { Violations } from '#errors/errors.js';
import type { Plan as PlanMessage } from '#protocol/dropstream/v1/data.js';
import { sampleOrders } from '#spec/words.js';
import { isSha256, sha256Rule } from '#storage/content-hash.js';
import type { ManifestExtent } from '../manifest/manifest.js';
import { type Mix, mixes, resolveMix } from './augment/mix-plan.js';
import { refusedSize } from './augment/sample-plan.js';
import { resolveTransform, type Transform } from './augment/transform.js';
import type { Blocks } from './block-order.js';
import { batchesPerEpoch, type Dealing, isShuffled, type Subset, subsetSize } from './order.js';

const MAX_BATCH = 65_536;

export interface Plan extends Dealing {
  /** SHA-256 of the manifest, 64 hex digits. */
  readonly manifest: string;
  readonly seed: bigint;
  readonly transform: Transform;
  readonly mix: Mix | undefined;
  readonly subset: Subset;
  /** Only with order `blocks`. */
  readonly blocks?: Blocks | undefined;
}

/** Resolves a plan message. Does not check it against the data set; see `checkPlanFits`. @throws InvalidArgument with every violation */
export function resolvePlan(message: PlanMessage | undefined, prefix = 'plan.'): Plan {
  const violations = new Violations();
  const manifest = message?.dataset?.manifest ?? '';
  violations.check(isSha256(manifest), `${prefix}dataset.manifest`, manifest, sha256Rule);
  const order = sampleOrders.read(violations, `${prefix}order`, message?.order);
  const blocks = resolveBlocks(message, order, violations, prefix);
  const batchSize = message?.batchSize ?? 0;
  violations.check(batchSize >= 1 && batchSize <= MAX_BATCH, `${prefix}batch_size`, batchSize, `from 1 to ${MAX_BATCH}`);
  const worldSize = message?.worldSize || 1;
  const rank = message?.rank ?? 0;
  violations.check(worldSize <= 65_536, `${prefix}world_size`, worldSize, 'at most 65536');
  violations.check(rank < worldSize, `${prefix}rank`, rank, `below world_size ${worldSize}`);
  const subset = { stride: message?.subsetStride ?? 0, offset: message?.subsetOffset ?? 0, invert: message?.subsetInvert ?? false };
  violations.check(
    subset.stride !== 1 || !subset.invert,
    `${prefix}subset_invert`,
    subset.invert,
    'false with subset_stride 1: nothing is left',
  );
  violations.check(
    subset.stride === 0 ? subset.offset === 0 && !subset.invert : subset.offset < subset.stride,
    `${prefix}subset_offset`,
    subset.offset,
    subset.stride === 0 ? '0, and subset_invert false, without subset_stride' : `below subset_stride ${subset.stride}`,
  );
  if (!message?.transform) violations.add(`${prefix}transform`, undefined, 'given');
  const transform = resolveTransform(message?.transform ?? { inputSize: 224, training: false }, violations, `${prefix}transform.`);
  const mix = message?.mix && resolveMix(message.mix, transform.inputSize, violations, `${prefix}mix.`);
  if (mixes(mix)) {
    violations.check(batchSize % 2 === 0, `${prefix}batch_size`, batchSize, 'even with mixup or cutmix: images are mixed in pairs');
    violations.check(
      isShuffled(order),
      `${prefix}order`,
      order,
      'shuffled or blocks with mixup or cutmix: the last batch of an evaluation may be odd or padded',
    );
  }
  violations.throwIfAny();
  return { manifest, order, batchSize, rank, worldSize, seed: message?.seed ?? 0n, transform, mix, subset, blocks };
}

function resolveBlocks(message: PlanMessage | undefined, order: Plan['order'], violations: Violations, prefix: string): Blocks | undefined {
  const { blockSamples, blocksMixed } = message ?? {};
  for (const [field, value, most] of [
    ['block_samples', blockSamples, 2 ** 24],
    ['blocks_mixed', blocksMixed, 65_536],
  ] as const) {
    if (value === undefined) continue;
    violations.check(order === 'blocks', `${prefix}${field}`, value, 'given with order blocks only');
    violations.check(value >= 1 && value <= most, `${prefix}${field}`, value, `from 1 to ${most}`);
  }
  return order === 'blocks' ? { blockSamples: blockSamples ?? 1024, blocksMixed: blocksMixed ?? 16 } : undefined;
}

/**
 * Rejects a plan that does not fit the data set: batches larger than the set, or images that the transform cannot take.
 * @throws InvalidArgument
 */
export function checkPlanFits(plan: Plan, dataset: { readonly samples: number; readonly extent: ManifestExtent }, prefix = 'plan.'): void {
  const violations = new Violations();
  const samples = subsetSize(dataset.samples, plan.subset);
  violations.check(
    samples > 0,
    `${prefix}subset_offset`,
    plan.subset.offset,
    `such that samples remain: the data set has ${dataset.samples}`,
  );
  if (isShuffled(plan.order) && samples > 0) {
    violations.check(
      batchesPerEpoch(samples, plan) > 0,
      `${prefix}batch_size`,
      plan.batchSize,
      `at most the ${samples} samples of the data set divided by world_size ${plan.worldSize}`,
    );
  }
  const { minWidth, maxWidth, minHeight, maxHeight } = dataset.extent;
  const refused = refusedSize(plan.transform, minWidth, minHeight) ?? refusedSize(plan.transform, maxWidth, maxHeight);
  if (refused) {
    const found =
      minWidth === maxWidth && minHeight === maxHeight
        ? `${minWidth} x ${minHeight}`
        : `${minWidth} to ${maxWidth} x ${minHeight} to ${maxHeight}`;
    violations.add(`${prefix}transform.input_size`, plan.transform.inputSize, `used with ${refused}; the data set has ${found}`);
  }
  violations.throwIfAny();
}
