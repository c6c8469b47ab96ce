/** Training for bench:data: optimizer steps on batches that come through the data service, or on one batch again and again. */

import { type Batch, finishPlanOf, softTargetsOf } from '#data/client/batch.js';
import { BatchClient } from '#data/client/batch-client.js';
import { type CompileOptions, compile } from '#engine/index.js';
import type { Plan } from '#protocol/dropstream/v1/data.js';
import { adamw } from '../support/adamw.js';

export interface TrainingTask {
  readonly plan: Plan;
  readonly model: string;
  readonly precision: string;
  readonly addresses: readonly string[];
  /** False: the first batch is taken again and again, and the service rests. */
  readonly stream: boolean;
}

/** Seconds that training waited for batches; `done` is told of each step's images. */
export async function training(task: TrainingTask, isOver: () => boolean, done: (images: number) => void): Promise<number> {
  const { plan, model, precision, addresses, stream } = task;
  const { batchSize } = plan;
  const imageSize = plan.transform!.inputSize;
  const client = new BatchClient({ addresses, inFlight: 2 });
  const batches = client.batches({ plan, signal: new AbortController().signal });
  try {
    let batch = (await batches.next()).value as Batch;
    if (!stream) await batches.return();
    const shapes = { imageSize, classes: 1000, batch: batchSize };
    const program = await compile(model, shapes, { precision: precision as NonNullable<CompileOptions['precision']> });
    await program.initialize(1n);
    let waited = 0;
    for (let step = 0; ; step++) {
      const prepared = await program.prepareImages({ pixels: batch.payload, size: imageSize, plan: finishPlanOf(batch.header) });
      const targets = softTargetsOf({ ...batch.header, classes: shapes.classes });
      await program.step({
        microBatches: [{ images: prepared.images, targets, samples: batchSize, firstSample: 0 }],
        random: { seed: 1n, step, dropout: 0, blockRates: program.blocks === 0 ? [] : new Array<number>(program.blocks).fill(0) },
        lossScale: 1 / batchSize,
        optimizer: adamw(step + 1, SCALARS),
      });
      prepared.release();
      done(batchSize);
      if (isOver()) break;
      if (!stream) continue;
      batch.release();
      const asked = performance.now();
      batch = (await batches.next()).value as Batch;
      waited += (performance.now() - asked) / 1000;
    }
    program.dispose();
    return waited;
  } finally {
    await batches.return();
    client.close();
  }
}

const SCALARS = { clip: 0, learningRate: 1e-4, weightDecay: 0.05, emaDecay: -1 };
