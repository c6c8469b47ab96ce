/** The driver (driver.ts) of the TypeScript client. */
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { BatchFormat } from '#client/batches.js';
import { type Batches, type BatchesState, Client, InvalidArgument } from '#client/index.js';
import { Plan } from '#protocol/dropstream/v1/data.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import type { Failure, Operations } from './driver.js';

const client = new Client();
let batches: Batches<BatchFormat> | undefined;
let failures: Failure[] = [];

const sha256 = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
const opened = (): Batches<BatchFormat> => {
  if (batches === undefined) throw new Error('no stream is open');
  return batches;
};
const within = (seconds: number | undefined) => (seconds === undefined ? {} : { timeoutMs: seconds * 1000 });

const retryAfterSeconds = (error: unknown): number | null => {
  const ms = (error as { retryAfterMs?: unknown }).retryAfterMs;
  return typeof ms === 'number' && ms > 0 ? ms / 1000 : null;
};

type Handlers = { [N in keyof Operations]: (args: Parameters<Operations[N]>[0]) => Promise<ReturnType<Operations[N]>> };

const handlers: Handlers = {
  async open({ plan, format = 'float32', start, epochs, inFlight = 4, totalSeconds = 60 }) {
    failures = [];
    batches = client.batches(Plan.fromJSON(plan), {
      format: format as BatchFormat,
      inFlight,
      totalMs: totalSeconds * 1000,
      onFailure: ({ address, error }) =>
        failures.push({ address, kind: (error as Error).name, retryAfterSeconds: retryAfterSeconds(error) }),
      ...(start === undefined ? {} : { start: JSON.parse(start) as BatchesState }),
      ...(epochs === undefined ? {} : { epochs }),
    });
    return null;
  },
  async next() {
    const { value: batch } = await opened().next();
    if (batch === undefined) return null;
    const { epoch, index, shape, images, targets } = batch;
    return {
      epoch,
      index,
      shape,
      images: sha256(images),
      targets: sha256(targets),
      targetBytes: targets.byteLength,
      state: JSON.stringify(opened().state()),
    };
  },
  async closeWhileWaiting() {
    const waiting = opened().next();
    const kind = waiting.then(
      () => 'a batch',
      (error: Error) => error.name,
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    await opened().close();
    return await kind;
  },
  async failures() {
    return failures;
  },
  async close() {
    await opened().close();
    return null;
  },
  async describe({ manifest }) {
    const { samples, classes } = await client.describe(manifest);
    return { samples: Number(samples), classes: classes.length };
  },
  async preview({ plan, index, limit }) {
    const images = await client.preview(Plan.fromJSON(plan), { index, limit });
    return { pngs: images.map(({ png }) => sha256(png)), steps: Math.min(...images.map(({ steps }) => steps.length)) };
  },
  async rates({ spec, ...request }) {
    return (await client.rates(DropScheduleSpec.fromJSON(spec), request)).map(({ rate }) => rate);
  },
  async submit({ spec, ...options }) {
    const { name, uid } = await client.submit(RunSpec.fromJSON(spec), options);
    return { name, uid };
  },
  async run({ run }) {
    return { state: RunState[(await client.run(run)).state]! };
  },
  async cancel({ run }) {
    return { state: RunState[(await client.cancel(run)).state]! };
  },
  async watch({ run, after = 0 }) {
    const events = [];
    for await (const event of client.watch(run, { after: BigInt(after) })) events.push(event);
    return { sequences: events.map(({ sequence }) => Number(sequence)), kinds: events.map(({ event }) => event?.$case ?? '') };
  },
  async wait({ run, timeoutSeconds }) {
    const { state, step } = await client.wait(run, within(timeoutSeconds));
    return { state: RunState[state]!, step: Number(step) };
  },
  async evaluate({ checkpoint, timeoutSeconds }) {
    const { name, result } = await client.evaluate(checkpoint, within(timeoutSeconds));
    return { name, samples: Number(result?.samples), top1: result?.weights?.top1 ?? Number.NaN, loss: result?.weights?.loss ?? Number.NaN };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { name, args } = JSON.parse(line) as { name: keyof Handlers; args: never };
  const answer = await handlers[name](args).then(
    (value: unknown) => ({ value }),
    (error: Error) => ({
      error: {
        kind: error.name,
        message: error.message,
        fields: error instanceof InvalidArgument ? error.violations.map(({ field }) => field) : [],
        retryAfterSeconds: retryAfterSeconds(error),
      },
    }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await client.close();
