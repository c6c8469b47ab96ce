/** Opens the micro-batches of leaves for a member of a group. */

import type { BatchFailure } from '#data/client/batch-client.js';
import type { ImagePreparation } from '#engine/index.js';
import { formatName } from '#errors/resource-names.js';
import type { Logger } from '#telemetry/logger.js';
import { type DataAccess, PreparedBatches } from '#training/prepared-batches.js';
import { trainingPlan } from '../../run/batch-plans.js';
import type { ResolvedSpec } from '../../run/run-spec.js';
import { LeafBatches } from './leaf-batches.js';

export interface GroupBatchesOptions {
  readonly data: DataAccess;
  readonly project: string;
  readonly spec: ResolvedSpec;
  readonly stepsPerEpoch: number;
  readonly program: ImagePreparation;
  readonly logger: Logger;
  readonly onFailure?: (failure: BatchFailure) => void;
  /** Ends all reading. */
  readonly signal: AbortSignal;
}

/** Prepared micro-batches beyond those of one step, at most so many bytes. */
const aheadBytes = 512 << 20;

/** The owner closes them. */
export function groupBatches({ data, project, spec, stepsPerEpoch, program, logger, onFailure, signal }: GroupBatchesOptions): LeafBatches {
  const { updateFreq, batchSize, inputSize } = spec;
  const ahead = Math.max(1, Math.floor(aheadBytes / (batchSize * 3 * inputSize * inputSize * 4)));
  return new LeafBatches({
    microBatches: updateFreq,
    leaves: spec.gradientLeaves,
    open: ({ fromStep, takes, perStep, most }) =>
      new PreparedBatches({
        data: {
          ...data,
          onFailure: (failure) => {
            const { address, epoch, index, error } = failure;
            logger.warn({ address, epoch, index, error: String(error) }, 'a batch is requested again');
            onFailure?.(failure);
          },
        },
        request: {
          plan: trainingPlan(spec),
          parent: formatName('project', { project }),
          from: { epoch: Math.floor(fromStep / stepsPerEpoch), index: (fromStep % stepsPerEpoch) * updateFreq },
          epochs: spec.epochs,
          batchesPerEpoch: stepsPerEpoch * updateFreq,
          only: ({ epoch, index }) => takes(epoch * stepsPerEpoch + Math.floor(index / updateFreq), index % updateFreq),
          most,
          signal,
        },
        program,
        classes: spec.nbClasses,
        buffers: most ?? perStep + Math.min(perStep, ahead),
      }),
  });
}
