/** Requests the micro-batches of a run from a step on. */
import type { BatchFailure } from '#data/client/batch-client.js';
import type { ImagePreparation } from '#engine/index.js';
import { formatName } from '#errors/resource-names.js';
import { PreparedBatches } from '#training/prepared-batches.js';
import { preparedBatches, trainingPlan } from '../run/batch-plans.js';
import type { AttemptContext } from './attempt-context.js';
import type { StepTraces } from './step-traces.js';

/** Starts to fetch at once, and to prepare images for the program; calls `onFailure` for every failure after which a batch is requested again. The caller must close it. */
export function openTrainingBatches(
  context: AttemptContext,
  program: ImagePreparation,
  fromStep: number,
  onFailure: (failure: BatchFailure) => void,
  traces: StepTraces | undefined,
): PreparedBatches {
  const { data, project, claimed, logger, spec, stepsPerEpoch } = context;
  return new PreparedBatches({
    data: {
      ...data,
      onFailure: (failure) => {
        const { address, epoch, index, error } = failure;
        logger.warn({ address, epoch, index, error: String(error) }, 'a batch is requested again');
        onFailure(failure);
      },
    },
    request: {
      plan: trainingPlan(spec),
      parent: formatName('project', { project }),
      from: { epoch: Math.floor(fromStep / stepsPerEpoch), index: (fromStep % stepsPerEpoch) * spec.updateFreq },
      epochs: spec.epochs,
      batchesPerEpoch: stepsPerEpoch * spec.updateFreq,
      spanOf: traces && (({ epoch, index }) => traces.parentOf(epoch * stepsPerEpoch + Math.floor(index / spec.updateFreq))),
      signal: claimed.signal,
    },
    program,
    classes: spec.nbClasses,
    buffers: preparedBatches(spec),
  });
}
