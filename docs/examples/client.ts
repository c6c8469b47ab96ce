// A call to each service from TypeScript, and a batch of finished float32 images; a manifest as first argument.
import { Client, InvalidArgument } from 'dropstream/client';
import { DropMode, DropSchedule } from 'dropstream/protocol/schedule_types';

const manifest = process.argv[2] ?? '';
const plan = {
  dataset: { manifest },
  batchSize: 32,
  transform: { inputSize: 28, training: true, aa: '' },
  mix: { mixup: 0.8, cutmix: 0 },
};

// Without addresses, the client takes those of DROPSTREAM_DATA, DROPSTREAM_SCHEDULER, DROPSTREAM_TRAINER and DROPSTREAM_EVALUATOR.
const client = new Client();

const spec = { rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 50 };
const rates = await client.rates(spec, { steps: [0, 7800, 15_600], epochs: 300, stepsPerEpoch: 312 });
for (const { step, rate } of rates) console.log(`step ${step}: drop rate ${rate.toFixed(4)}`);

// Every RPC that has no method of its own is a method of `trainer`, `scheduler` or `evaluator`.
const { runs } = await client.trainer.listRuns({ parent: 'projects/default' }, { timeoutMs: 10_000 });
console.log(`${runs.length} runs`);
const { evaluations } = await client.evaluator.listEvaluations({ parent: 'projects/default' }, { timeoutMs: 10_000 });
console.log(`${evaluations.length} evaluations`);
const { kind, samples, classes } = await client.describe(manifest);
console.log(`${kind}: ${samples} images of ${classes.join(', ')}`);

const batches = client.batches(plan, { epochs: 1 });
for await (const { shape, images, targets } of batches) {
  console.log(`batch of images [${shape.join(', ')}]: ${images.length} values, ${targets.length} soft targets`);
  break;
}
const state = batches.state(); // JSON.stringify(state) keeps the position
for await (const { index } of client.batches(plan, { start: state })) {
  console.log(`the stream goes on with batch ${index}`);
  break;
}

try {
  await client.preview({ ...plan, batchSize: 0 });
} catch (error) {
  if (!(error instanceof InvalidArgument)) throw error;
  console.log(error.message);
}
await client.close();
