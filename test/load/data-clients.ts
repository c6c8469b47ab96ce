/**
 * Clients of a data replica. The fast ones read as the trainer does; the others take a chunk and pause, again and again. All of them get every batch
 * that they ask for, complete and in order. A slow stream may be refused while others wait, and is then requested again after the pause asked for.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { BatchClient } from '#data/client/batch-client.js';
import { ResourceExhausted } from '#errors/errors.js';
import { DataServiceClient, PixelFormat, Plan, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { AnswerLog } from './answers.js';
import { runChild, startChild } from './child.js';

export interface DataClientsOptions {
  readonly address: string;
  readonly manifest: string;
  readonly fast: number;
  readonly slow: number;
  /** Images of a batch. */
  readonly batchSize: number;
}

export const startDataClients = (options: DataClientsOptions) => startChild('./data-clients.ts', import.meta.url, options);

/** Pause of a slow client after each chunk in ms. */
const pauseMs = 100;

async function open({ address, manifest, fast, slow, batchSize }: DataClientsOptions) {
  const log = new AnswerLog();
  const plan = Plan.fromPartial({
    dataset: { manifest },
    batchSize,
    order: SampleOrder.SHUFFLED,
    transform: TransformSpec.fromPartial({ inputSize: 224, training: true }),
  });
  let ending = false;
  let refused = 0;
  const images = { fast: new Array<number>(fast).fill(0), slow: new Array<number>(slow).fill(0) };

  const readFast = async (k: number): Promise<void> => {
    const client = new BatchClient({ addresses: [address], inFlight: 2 });
    try {
      let at = performance.now();
      let last: { epoch: number; index: number; batchesPerEpoch: number } | undefined;
      for await (const { header, release } of detached(client, { ...plan, seed: BigInt(k) })) {
        log.took('batch of a fast client', performance.now() - at);
        const { epoch, index } = header;
        const wraps = last !== undefined && last.index + 1 === last.batchesPerEpoch;
        const next = last === undefined ? [0, 0] : wraps ? [last.epoch + 1, 0] : [last.epoch, last.index + 1];
        log.check(epoch === next[0] && index === next[1], () => `fast client ${k} got batch ${epoch}/${index} and not ${next.join('/')}`);
        last = header;
        images.fast[k]! += header.samples.length;
        release();
        if (ending) return;
        at = performance.now();
      }
    } catch (error) {
      log.problem(`fast client ${k}: ${(error as Error).name}: ${(error as Error).message}`);
    } finally {
      client.close();
    }
  };

  const readSlow = async (k: number): Promise<void> => {
    const channel = { 'grpc.use_local_subchannel_pool': 1 };
    const client = connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, address, { channel });
    for (let index = 0; !ending; ) {
      const begun = performance.now();
      try {
        const hash = createHash('sha256');
        let [expected, bytes, got] = [new Uint8Array(), 0, 0];
        let batchesPerEpoch = 1;
        const request = { plan: { ...plan, seed: BigInt(1000 + k) }, format: PixelFormat.UINT8, epoch: 0, index };
        for await (const { part } of client.getBatch(request, { timeoutMs: 10 * 60_000 })) {
          if (part?.$case === 'header') {
            expected = Uint8Array.from(part.value.payloadSha256);
            bytes = Number(part.value.payloadBytes);
            batchesPerEpoch = part.value.batchesPerEpoch;
            images.slow[k]! += part.value.samples.length;
            continue;
          }
          const chunk = part?.value ?? new Uint8Array();
          hash.update(chunk);
          got += chunk.byteLength;
          // Whoever has what it wanted need not pause.
          if (!ending) await delay(pauseMs);
        }
        log.took('batch of a slow client', performance.now() - begun);
        const right = got === bytes && Buffer.compare(hash.digest(), expected) === 0;
        log.check(right, () => `slow client ${k}: batch ${index} has ${got} of ${bytes} bytes, or others than the header says`);
        index = (index + 1) % batchesPerEpoch;
      } catch (error) {
        if (!(error instanceof ResourceExhausted)) {
          log.problem(`slow client ${k}: ${(error as Error).name}: ${(error as Error).message}`);
          break;
        }
        refused++;
        log.check(error.retryAfterMs !== undefined, () => `slow client ${k} was refused and not told when to try again: ${error.message}`);
        await delay(error.retryAfterMs ?? 1000);
      }
    }
    client.close();
  };

  const begun = performance.now();
  const reading = [...images.fast.map((_, k) => readFast(k)), ...images.slow.map((_, k) => readSlow(k))];
  return async () => {
    ending = true;
    await Promise.all(reading);
    const seconds = (performance.now() - begun) / 1000;
    for (const [kind, all] of Object.entries(images))
      for (const [k, count] of all.entries()) log.check(count > 0, () => `${kind} client ${k} got no batch`);
    const sum = (all: readonly number[]): number => Math.round(all.reduce((a, b) => a + b, 0) / seconds);
    return log.answers({ fast, slow, imagesPerSecond: { fast: sum(images.fast), slow: sum(images.slow) }, refused });
  };
}

async function* detached(client: BatchClient, plan: Plan) {
  for await (const batch of client.batches({ plan, signal: AbortSignal.timeout(60 * 60_000) }))
    yield { header: batch.header, release: () => batch.release() };
}

if (process.send && process.argv[1]?.endsWith('data-clients.ts')) runChild(open);
