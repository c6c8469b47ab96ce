/** The calls of the data service: validate, make, answer. */
import type { BatchService } from '#data/client/batch-message.js';
import { BatchPlanner } from '#data/plan/batch-plan.js';
import { checkPlanFits } from '#data/plan/plan.js';
import { DataLoss, invalid, ResourceExhausted } from '#errors/errors.js';
import { type BatchHeader, type GetBatchResponse, PixelFormat } from '#protocol/dropstream/v1/data.js';
import { type CallContext, type HandlersOf, serverStream, unary } from '#rpc/handlers.js';
import type { Logger } from '#telemetry/logger.js';
import type { Admission, Needs } from './admission.js';
import type { Ahead, TakenBatch } from './ahead.js';
import type { FileMemory } from './file-memory.js';
import { followingBatches } from './following-batches.js';
import { batchNeeds, type MadeBatch, makeBatch } from './make-batch.js';
import type { MemoryPool } from './memory-pool.js';
import type { DataMetrics } from './metrics.js';
import type { OpenDataset, OpenDatasets } from './open-datasets.js';
import { previewBatch } from './preview-batch.js';
import type { dataNames } from './request-names.js';
import { type BatchQuery, type GetBatchQuery, parseDescribe, parseGetBatch, parsePreviewBatch } from './requests.js';
import type { UndecodableLog } from './undecodable-log.js';

export interface HandlerParts {
  readonly datasets: OpenDatasets;
  readonly admission: Admission;
  /** Memory of batches, used again. */
  readonly memories: MemoryPool;
  /** Memory of files, used again. */
  readonly files: FileMemory;
  readonly ahead: Ahead;
  readonly metrics: DataMetrics;
  readonly undecodable: UndecodableLog;
  /** Most threads of one batch; undefined: one a core. */
  readonly threads: number | undefined;
}

export function dataHandlers(parts: HandlerParts): HandlersOf<typeof BatchService, typeof dataNames> {
  const { datasets, admission, ahead, memories, metrics } = parts;
  return {
    describeDataset: unary(async (request, ctx) => {
      const sha256 = parseDescribe(request);
      return await datasets.use(sha256, ctx.signal, async ({ manifest }) => ({
        manifest: sha256,
        kind: manifest.kind,
        samples: BigInt(manifest.samples),
        classes: [...manifest.classes],
        classCounts: manifest.classCounts().map(BigInt),
      }));
    }),

    getBatch: serverStream(async function* (request, ctx) {
      const query = parseGetBatch(request);
      const client = query.client || ctx.peer;
      const announced: string[] = [];
      const announce = (header: Pick<BatchHeader, 'batchesPerEpoch' | 'classes'>): void => {
        const following = followingBatches(query, header.batchesPerEpoch).map((next) => ({
          key: keyOf(next, client),
          client,
          needs: needsOf(next, header.classes),
          make: (signal: AbortSignal) =>
            datasets.use(next.plan.manifest, signal, (dataset) => make(parts, next, plannerOf(next, dataset), dataset, signal, ctx.logger)),
        }));
        announced.push(...following.map(({ key }) => key));
        ahead.announce(following, ctx.connectionClosed);
      };
      let taken: TakenBatch | undefined;
      let finished = false;
      try {
        taken = await ahead.take(keyOf(query, client), ctx.signal);
        if (taken) announce(taken.batch.header);
        else taken = await counted(parts, () => admittedBatch(parts, query, client, announce, ctx));
        yield headerPart(taken.batch.header);
        for (const chunk of taken.batch.memory.chunks()) {
          metrics.payloadBytes.inc(chunk.part.value.byteLength);
          yield chunk;
        }
        // Until then chunks may still be serialized in it: the memory of a call that ends early is not used again.
        await ctx.flushed();
        memories.give(taken.batch.memory);
        finished = true;
      } finally {
        taken?.admitted.left();
        if (!finished) ahead.drop(announced);
      }
    }),

    previewBatch: unary(async (request, ctx) => {
      const query = parsePreviewBatch(request);
      const { signal } = ctx;
      return await counted(parts, () =>
        datasets.use(query.plan.manifest, signal, async (dataset) => {
          const planner = plannerOf(query, dataset);
          const slots = Math.min(query.plan.batchSize, 2 * query.limit);
          const needs = batchNeeds(PixelFormat.FLOAT32, slots, query.plan.transform.inputSize, 0);
          const admitted = await waited(parts, () => admission.enter(ctx.peer, needs, signal));
          try {
            const job = { planner, dataset, epoch: query.epoch, index: query.index, threads: parts.threads, signal };
            return { images: await previewBatch(job, query.limit) };
          } finally {
            admitted.left();
          }
        }),
      );
    }),
  };
}

const headerPart = (value: BatchHeader): GetBatchResponse => ({ part: { $case: 'header', value } });
const needsOf = ({ format, plan }: GetBatchQuery, classes: number): Needs =>
  batchNeeds(format, plan.batchSize, plan.transform.inputSize, classes);
const keyOf = ({ planDigest, epoch, index, format }: GetBatchQuery, client: string) => [planDigest, epoch, index, format, client].join('/');

/** @throws InvalidArgument where the plan does not fit the data set or the index is past the end of an epoch */
function plannerOf({ plan, index }: BatchQuery, { manifest }: OpenDataset): BatchPlanner {
  checkPlanFits(plan, manifest);
  const planner = new BatchPlanner(plan, manifest);
  if (index >= planner.batchesPerEpoch) throw invalid('index', index, `below the ${planner.batchesPerEpoch} batches of an epoch`);
  return planner;
}

/** Waits for its turn, then makes the batch; what it holds is the caller's to leave. `announce`: called when the turn has come. */
async function admittedBatch(
  parts: HandlerParts,
  query: GetBatchQuery,
  client: string,
  announce: (epoch: { batchesPerEpoch: number; classes: number }) => void,
  { signal, logger }: CallContext,
): Promise<TakenBatch> {
  return await parts.datasets.use(query.plan.manifest, signal, async (dataset) => {
    const planner = plannerOf(query, dataset);
    const classes = dataset.manifest.classes.length;
    const admitted = await waited(parts, () => parts.admission.enter(client, needsOf(query, classes), signal));
    try {
      announce({ batchesPerEpoch: planner.batchesPerEpoch, classes });
      const batch = await make(parts, query, planner, dataset, signal, logger);
      admitted.made();
      return { batch, admitted };
    } catch (error) {
      admitted.left();
      throw error;
    }
  });
}

async function make(
  parts: HandlerParts,
  query: GetBatchQuery,
  planner: BatchPlanner,
  dataset: OpenDataset,
  signal: AbortSignal,
  logger: Logger,
): Promise<MadeBatch> {
  const { metrics, memories, files, threads } = parts;
  const { planDigest, epoch, index, format } = query;
  const timed = (part: string, seconds: number) => metrics.making.observe({ part }, seconds);
  const batch = await makeBatch({ planner, dataset, planDigest, epoch, index, format, threads, signal, memories, files, timed });
  metrics.batches.inc({ format: PixelFormat[format] });
  metrics.images.inc(batch.header.samples.length);
  for (const replaced of batch.header.replaced) parts.undecodable.note(query.plan.manifest, replaced, logger);
  return batch;
}

async function waited<T>({ metrics }: HandlerParts, enter: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const entered = await enter();
  metrics.making.observe({ part: 'wait' }, (performance.now() - begun) / 1000);
  return entered;
}

/** Counts what operators should see. */
async function counted<T>({ metrics }: HandlerParts, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ResourceExhausted) metrics.refused.inc({ bound: error.what.split(':')[0] as string });
    if (error instanceof DataLoss) metrics.damaged.inc();
    throw error;
  }
}
