/** The first images of the demo's run, augmented as in its training. */
import { type DataServiceClient, type PreviewImage, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { TypedClient } from '#rpc/client.js';
import { previewImages } from '../preview-images.js';

/** Of the first batch. */
const IMAGES = 30;

/** @throws what the data service refuses with */
export async function imagesOfPlan(
  data: TypedClient<(typeof DataServiceClient)['service']>,
  spec: RunSpec,
  call: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<PreviewImage[]> {
  const { inputSize = 28, colorJitter, aa, reprob, cropPadding, imagenetDefaultMeanAndStd } = spec;
  const plan = {
    dataset: { manifest: spec.trainManifest },
    seed: spec.seed ?? 0n,
    batchSize: spec.batchSize ?? 64,
    rank: 0,
    worldSize: 1,
    order: SampleOrder.SHUFFLED,
    transform: TransformSpec.fromPartial({ inputSize, training: true, colorJitter, aa, reprob, cropPadding, imagenetDefaultMeanAndStd }),
    mix: undefined,
    pixelSemantics: 0,
    subsetStride: 0,
    subsetOffset: 0,
    subsetInvert: false,
  };
  const request = { parent: 'projects/default', plan, epoch: 0, index: 0, limit: IMAGES };
  return await previewImages(data, request, call);
}
