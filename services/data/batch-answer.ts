/** Answers one GetBatch call: takes the batch if it was prepared ahead or prepares it, announces the batches that follow, and sends it. */
import type { BatchPlanner } from '#data/plan/batch-plan.js';
import { type BatchHeader, type GetBatchResponse, PixelFormat } from '#protocol/dropstream/v1/data.js';
import type { CallContext } from '#rpc/handlers.js';
import { inSpan } from '#telemetry/spans.js';
import type { Admission } from './admission.js';
import type { Ahead, TakenBatch } from './ahead.js';
import { chunkSizes } from './chunk-sizes.js';
import type { FileMemory } from './file-memory.js';
import { followingBatches } from './following-batches.js';
import { type MadeBatch, makeBatch, needsOf } from './make-batch.js';
import { countFailures, timeWait } from './measure-calls.js';
import type { MemoryPool } from './memory-pool.js';
import type { DataMetrics } from './metrics.js';
import type { OpenDataset, OpenDatasets } from './open-datasets.js';
import { type GetBatchQuery, manifestOf, plannerOf } from './requests.js';
import { shareOf } from './share-of.js';
import type { Share } from './shares.js';
import type { UndecodableLog } from './undecodable-log.js';

export interface BatchParts {
  readonly datasets: OpenDatasets;
  readonly admission: Admission;
  /** Pool of memory for batches. */
  readonly memories: MemoryPool;
  /** Pool of memory for files. */
  readonly files: FileMemory;
  readonly ahead: Ahead;
  readonly metrics: DataMetrics;
  readonly undecodable: UndecodableLog;
  /** Largest number of threads for one batch; undefined: one per core. */
  readonly threads: number | undefined;
}

export class BatchAnswer {
  readonly #parts: BatchParts;
  readonly #query: GetBatchQuery;
  readonly #ctx: CallContext;
  readonly #share: Share;
  /** Keys of the batches that this call announced. */
  #announced: readonly string[] = [];

  constructor(parts: BatchParts, query: GetBatchQuery, ctx: CallContext) {
    this.#parts = parts;
    this.#query = query;
    this.#ctx = ctx;
    this.#share = shareOf(ctx, query.client);
  }

  /** Yields the header, then the payload in chunks. */
  async *messages(): AsyncGenerator<GetBatchResponse, void, void> {
    const { ahead, memories, metrics } = this.#parts;
    let taken: TakenBatch | undefined;
    let finished = false;
    try {
      taken = await ahead.take(this.#keyOf(this.#query), this.#ctx.signal);
      if (taken) this.#announce(taken.batch.header);
      else taken = await countFailures(metrics, () => this.#admitted());
      const { outgoing } = this.#ctx;
      taken.admitted.sending(outgoing);
      yield { part: { $case: 'header', value: taken.batch.header } };
      for (const chunk of taken.batch.memory.chunks(chunkSizes(outgoing))) {
        metrics.payloadBytes.inc(chunk.part.value.byteLength);
        yield chunk;
      }
      // Until then, chunks of it may still be serialized; so the memory of a call that ends early is not used again.
      await outgoing.flushed();
      taken.admitted.taken();
      memories.give(taken.batch.memory);
      finished = true;
    } finally {
      taken?.admitted.left();
      if (!finished) ahead.drop(this.#announced);
    }
  }

  /** Waits for the call's turn, announces the following batches, then prepares the batch. The caller frees the resources that it holds. */
  async #admitted(): Promise<TakenBatch> {
    const { datasets, admission, metrics } = this.#parts;
    const { signal } = this.#ctx;
    return await datasets.use(manifestOf(this.#query), signal, async (dataset) => {
      const planner = plannerOf(this.#query, dataset);
      const classes = dataset.manifest.classes.length;
      const needs = needsOf(this.#query.plan, this.#query.format, classes);
      const enter = () => timeWait(metrics, () => admission.enter(this.#share, needs, signal));
      const admitted = await inSpan('wait for a turn', {}, enter);
      try {
        this.#announce({ batchesPerEpoch: planner.batchesPerEpoch, classes });
        const batch = await this.#make(this.#query, planner, dataset, signal);
        admitted.made();
        return { batch, admitted };
      } catch (error) {
        admitted.left();
        throw error;
      }
    });
  }

  /** Announces the batches that the client will request next, according to read_ahead. */
  #announce({ batchesPerEpoch, classes }: Pick<BatchHeader, 'batchesPerEpoch' | 'classes'>): void {
    const { ahead, datasets } = this.#parts;
    const following = followingBatches(this.#query, batchesPerEpoch).map((next) => ({
      key: this.#keyOf(next),
      share: this.#share,
      needs: needsOf(next.plan, next.format, classes),
      make: (signal: AbortSignal) =>
        datasets.use(manifestOf(next), signal, (dataset) => this.#make(next, plannerOf(next, dataset), dataset, signal)),
    }));
    this.#announced = following.map(({ key }) => key);
    ahead.announce(following, this.#ctx.connectionClosed);
  }

  async #make(query: GetBatchQuery, planner: BatchPlanner, dataset: OpenDataset, signal: AbortSignal): Promise<MadeBatch> {
    const { metrics, memories, files, threads, undecodable } = this.#parts;
    const { planDigest, epoch, index, format } = query;
    const timed = (part: string, seconds: number) => metrics.making.observe({ part }, seconds);
    const job = { planner, dataset, planDigest, epoch, index, format, threads, signal, memories, files, timed };
    const batch = await inSpan(
      'make batch',
      { attributes: { 'dropstream.epoch': epoch, 'dropstream.batch.index': index } },
      async (span) => {
        const made = await makeBatch(job);
        const { samples, replaced } = made.header;
        span.set({ 'dropstream.batch.samples': samples.length, 'dropstream.batch.replaced': replaced.length });
        return made;
      },
    );
    metrics.batches.inc({ format: PixelFormat[format] });
    metrics.images.inc(batch.header.samples.length);
    for (const replaced of batch.header.replaced) undecodable.note(query.plan.manifest, replaced, this.#ctx.logger);
    return batch;
  }

  /** Identifies a batch, the project for which it is read, and the client. */
  #keyOf({ project, planDigest, epoch, index, format }: GetBatchQuery): string {
    return [project, planDigest, epoch, index, format, this.#share.key].join('/');
  }
}
