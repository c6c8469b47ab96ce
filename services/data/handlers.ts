/** The calls of the data service: validate, make, answer. */
import type { BatchService } from '#data/batch-message.js';
import { BatchPlanner } from '#data/batch-plan.js';
import { checkPlanFits } from '#data/plan.js';
import { type BatchHeader, type GetBatchResponse, PixelFormat } from '#protocol/dropstream/v1/data.js';
import { DataLoss, invalid, ResourceExhausted } from '#rpc/errors.js';
import { type CallContext, type HandlersOf, serverStream, unary } from '#rpc/handlers.js';
import type { Gate } from './gate.js';
import { batchBytes, type MadeBatch, makeBatch } from './make-batch.js';
import type { MemoryPool } from './memory-pool.js';
import type { DataMetrics } from './metrics.js';
import type { OpenDataset, OpenDatasets } from './open-datasets.js';
import { previewBatch } from './preview-batch.js';
import { type BatchQuery, parseDescribe, parseGetBatch, parsePreviewBatch } from './requests.js';
import type { UndecodableLog } from './undecodable-log.js';

export interface HandlerParts {
  readonly datasets: OpenDatasets;
  /** Bytes of batches in memory. */
  readonly memory: Gate;
  /** Memory of batches, used again. */
  readonly memories: MemoryPool;
  /** Batches being made. */
  readonly turns: Gate;
  readonly metrics: DataMetrics;
  readonly undecodable: UndecodableLog;
  /** Most threads of one batch; undefined: one a core. */
  readonly threads: number | undefined;
}

export function dataHandlers(parts: HandlerParts): HandlersOf<typeof BatchService> {
  const { datasets, memory, memories, metrics } = parts;
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
      const { signal } = ctx;
      const release: (() => void)[] = [];
      try {
        const made = await counted(parts, () =>
          datasets.use(query.plan.manifest, signal, async (dataset) => {
            const planner = plannerOf(query, dataset);
            const bytes = batchBytes(query.format, query.plan.batchSize, query.plan.transform.inputSize, dataset.manifest.classes.length);
            release.push(await waited(parts, () => memory.enter(bytes, signal)));
            return await inTurn(parts, signal, () => make(parts, query, query.format, planner, dataset, ctx));
          }),
        );
        yield headerPart(made.header);
        for (const chunk of made.memory.chunks()) {
          metrics.payloadBytes.inc(chunk.part.value.byteLength);
          yield chunk;
        }
        // Until then chunks may still be serialized in it: the memory of a call that ends early is not used again.
        await ctx.flushed();
        memories.give(made.memory);
      } finally {
        for (const leave of release) leave();
      }
    }),

    previewBatch: unary(async (request, ctx) => {
      const query = parsePreviewBatch(request);
      const { signal } = ctx;
      return await counted(parts, () =>
        datasets.use(query.plan.manifest, signal, async (dataset) => {
          const planner = plannerOf(query, dataset);
          const slots = Math.min(query.plan.batchSize, 2 * query.limit);
          const leave = await memory.enter(batchBytes(PixelFormat.FLOAT32, slots, query.plan.transform.inputSize, 0), signal);
          try {
            const job = { planner, dataset, epoch: query.epoch, index: query.index, threads: parts.threads, signal };
            return { images: await inTurn(parts, signal, () => previewBatch(job, query.limit)) };
          } finally {
            leave();
          }
        }),
      );
    }),
  };
}

const headerPart = (value: BatchHeader): GetBatchResponse => ({ part: { $case: 'header', value } });

/** @throws InvalidArgument where the plan does not fit the data set or the index is past the end of an epoch */
function plannerOf({ plan, index }: BatchQuery, { manifest }: OpenDataset): BatchPlanner {
  checkPlanFits(plan, manifest);
  const planner = new BatchPlanner(plan, manifest);
  if (index >= planner.batchesPerEpoch) throw invalid('index', index, `below the ${planner.batchesPerEpoch} batches of an epoch`);
  return planner;
}

async function make(
  parts: HandlerParts,
  query: BatchQuery,
  format: PixelFormat,
  planner: BatchPlanner,
  dataset: OpenDataset,
  ctx: CallContext,
): Promise<MadeBatch> {
  const { metrics, memories, threads } = parts;
  const { planDigest, epoch, index } = query;
  const timed = (part: string, seconds: number) => metrics.making.observe({ part }, seconds);
  const batch = await makeBatch({ planner, dataset, planDigest, epoch, index, format, threads, signal: ctx.signal, memories, timed });
  metrics.batches.inc({ format: PixelFormat[format] });
  metrics.images.inc(batch.header.samples.length);
  for (const replaced of batch.header.replaced) parts.undecodable.note(query.plan.manifest, replaced, ctx.logger);
  return batch;
}

/** Runs `work` when it is its turn. */
async function inTurn<T>(parts: HandlerParts, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const leave = await waited(parts, () => parts.turns.enter(1, signal));
  try {
    return await work();
  } finally {
    leave();
  }
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
