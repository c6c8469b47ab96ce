/** Builds the demo's report from its results. */
import { cpus } from 'node:os';
import { relative } from 'node:path';
import type { PreviewImage } from '#protocol/dropstream/v1/data.js';
import type { Evaluation } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { version } from '#telemetry/version.js';
import { cgroupCores } from '../doctor/machine.js';
import { evaluationOf } from '../follow/run-progress.js';
import { invocation } from '../invocation.js';
import { count } from '../output/numbers.js';
import type { Training } from './demo.js';
import type { DemoData } from './demo-data.js';
import { specOptions } from './demo-spec.js';
import type { Report } from './report/report.js';

export interface DemoFacts {
  readonly data: DemoData;
  readonly spec: RunSpec;
  readonly training: Training;
  readonly evaluation: Evaluation;
  readonly preview: readonly PreviewImage[];
  readonly quick: boolean;
  /** True if the model was evaluated on held-out training images. */
  readonly validation: boolean;
  readonly home: string;
  readonly store: string;
}

export async function demoReport(facts: DemoFacts): Promise<Report> {
  const { data, spec, training, evaluation, preview, quick } = facts;
  const scores = evaluation.result!.weights!;
  const { progress, run } = training;
  const scored = facts.validation
    ? 'every tenth training image, which was held out'
    : 'every seventh image, which was not used for training or for choosing settings';
  const command = invocation();
  const home = relative(process.cwd(), facts.home) || '.';
  return {
    title: `Early dropout on ${data.name}`,
    summary:
      `${quick ? 'This is a quick demo on a part of the data. ' : ''}${spec.model} was trained for ${spec.epochs} epochs on ${count(data.train.samples)} images, ` +
      `with dropout ${spec.dropout} falling to 0 at the end of epoch ${spec.cutoffEpoch}. It was evaluated on ${count(evaluation.result!.samples)} images: ${scored}.`,
    model: spec.model,
    parameters: Number(run.parameters),
    trainSamples: data.train.samples,
    testSamples: data.test.samples,
    trainSeconds: training.seconds,
    stepsPerEpoch: Number(run.stepsPerEpoch),
    steps: training.steps.map(({ step, loss, lr, dropRate }) => ({ step: Number(step), loss, lr, dropRate })),
    epochs: [...progress.epochs.values()].map((line) => {
      const found = evaluationOf(progress, line.epoch);
      return { ...line, top1: found?.scores?.top1, evalLoss: found?.scores?.loss };
    }),
    result: {
      top1: scores.top1,
      top5: scores.top5,
      loss: scores.loss,
      classes: data.train.classes.map((name, k) => ({
        name,
        correct: Number(scores.classCorrect[k] ?? 0n),
        samples: Number(scores.classSamples[k] ?? 0n),
      })),
    },
    sheet: preview.map(({ png, className, steps }) => ({ png, className, steps })),
    options: specOptions(spec),
    environment: [
      ['dropstream', version],
      ['run', run.name],
      ['data set', `${data.name}, manifest ${data.train.sha256.slice(0, 16)}…`],
      ['node', process.versions.node],
      ['processor', cpus()[0]?.model.trim() ?? process.arch],
      ['cores', String(await cgroupCores())],
      ['system', `${process.platform} ${process.arch}`],
    ],
    next: [
      `${command} up --store ${home}/store --data-root ${home}/data  # starts the services again, with this run`,
      `${command} runs list  # run this and the following commands in another terminal`,
      `${command} checkpoints list ${run.name.split('/').at(-1)}`,
      `${command} train --model vit_nano_p7 --data_path ${relative(process.cwd(), data.folder)} --epochs 6 --warmup_epochs 1 --lr 3e-3 --batch_size 64 --drop_path 0.1 --drop_mode late --cutoff_epoch 3 --aa "" --color_jitter 0 --mixup 0 --cutmix 0 --reprob 0`,
      `${command} schedule preview --rate 0.1 --mode early --drop-schedule linear --cutoff-epoch 50`,
      'curl http://127.0.0.1:PORT/metrics  # PORT is one of the ports that `up` prints',
    ],
  };
}
