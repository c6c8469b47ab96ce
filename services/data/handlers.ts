/** Handlers of the data service: each validates its request, prepares the answer and responds. */
import type { BatchService } from '#data/client/batch-message.js';
import { BatchPlanner } from '#data/plan/batch-plan.js';
import { checkPlanFits } from '#data/plan/plan.js';
import { PixelFormat } from '#protocol/dropstream/v1/data.js';
import { type HandlersOf, serverStream, unary } from '#rpc/handlers.js';
import { BatchAnswer, type BatchParts } from './batch-answer.js';
import { batchNeeds, needsOf } from './make-batch.js';
import { countFailures, timeWait } from './measure-calls.js';
import type { PngThreads } from './png-threads.js';
import { previewBatch } from './preview-batch.js';
import type { dataNames } from './request-names.js';
import { manifestOf, parseDescribe, parseGetBatch, parsePreviewBatch, plannerOf, previewToken } from './requests.js';
import { shareOf } from './share-of.js';

export function dataHandlers(parts: BatchParts & { readonly pngs: PngThreads }): HandlersOf<typeof BatchService, typeof dataNames> {
  const { datasets, admission, metrics } = parts;
  return {
    describeDataset: unary(async (request, ctx) => {
      const { manifest: sha256, plan } = parseDescribe(request);
      return await datasets.use({ project: ctx.names.parent.project, sha256 }, ctx.signal, async ({ manifest }) => {
        if (plan) checkPlanFits(plan, manifest);
        const planner = plan && new BatchPlanner(plan, manifest);
        if (plan) admission.check(needsOf(plan, PixelFormat.UINT8, manifest.classes.length));
        return {
          manifest: sha256,
          kind: manifest.kind,
          samples: BigInt(manifest.samples),
          classes: [...manifest.classes],
          classCounts: manifest.classCounts().map(BigInt),
          epochSamples: BigInt(planner?.epochSamples ?? 0),
          batchesPerEpoch: planner?.batchesPerEpoch ?? 0,
        };
      });
    }),

    getBatch: serverStream((request, ctx) => new BatchAnswer(parts, parseGetBatch(request, ctx.names.parent.project), ctx).messages()),

    previewBatch: unary(async (request, ctx) => {
      const query = parsePreviewBatch(request, ctx.names.parent.project);
      const { signal } = ctx;
      return await countFailures(metrics, () =>
        datasets.use(manifestOf(query), signal, async (dataset) => {
          const planner = plannerOf(query, dataset);
          const slots = Math.min(query.plan.batchSize, 2 * query.limit);
          const needs = batchNeeds(PixelFormat.FLOAT32, slots, query.plan.transform.inputSize, 0);
          const admitted = await timeWait(metrics, () => admission.enter(shareOf(ctx, ''), needs, signal));
          try {
            const job = { planner, dataset, epoch: query.epoch, index: query.index, threads: parts.threads, signal, pngs: parts.pngs };
            const { images, next } = await previewBatch(job, query.from, query.limit);
            return { images, nextPageToken: next === undefined ? '' : previewToken(query, next) };
          } finally {
            admitted.left();
          }
        }),
      );
    }),
  };
}
