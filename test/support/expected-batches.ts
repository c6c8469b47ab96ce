/** What a plan says a run must have been trained on, asked of the data service directly. */
import { DataServiceClient, MixSpec, Plan, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type ClientClass, connect } from '#rpc/client.js';

/**
 * The payload hashes of all micro-batches of a run in order, and the samples of each epoch, for a run with the reference's default
 * augmentation and mixing.
 */
export async function expectedBatches(
  address: string,
  spec: RunSpec,
  updateFreq: number,
  stepsPerEpoch: number,
): Promise<{ hashes: string[]; samplesByEpoch: number[][] }> {
  const client = connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, address);
  const plan = Plan.fromPartial({
    dataset: { manifest: spec.trainManifest },
    seed: spec.seed ?? 0n,
    batchSize: spec.batchSize ?? 64,
    worldSize: 1,
    order: SampleOrder.SHUFFLED,
    transform: TransformSpec.fromPartial({ inputSize: spec.inputSize ?? 224, training: true }),
    mix: MixSpec.fromPartial({}),
  });
  const hashes: string[] = [];
  const samplesByEpoch: number[][] = [];
  try {
    for (let epoch = 0; epoch < (spec.epochs ?? 300); epoch++) {
      const samples: number[] = [];
      for (let index = 0; index < stepsPerEpoch * updateFreq; index++) {
        for await (const { part } of client.getBatch({ plan, epoch, index }, { timeoutMs: 30_000 })) {
          if (part?.$case !== 'header') continue;
          hashes.push(Buffer.from(part.value.payloadSha256).toString('hex'));
          samples.push(...part.value.samples.map(({ sample }) => Number(sample)));
        }
      }
      samplesByEpoch.push(samples);
    }
  } finally {
    client.close();
  }
  return { hashes, samplesByEpoch };
}
