/** The demo's report: its run with the views of the console, and what else the demo knows. */
import { cpus } from 'node:os';
import { relative } from 'node:path';
import type { ReportData, ReportRun } from '#client/report-data.js';
import type { PreviewImage } from '#protocol/dropstream/v1/data.js';
import type { Evaluation } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { EvaluationRecord } from '#protocol/dropstream/v1/trainer.js';
import { version } from '#telemetry/version.js';
import { cgroupCores } from '../doctor/machine.js';
import { invocation } from '../invocation.js';
import { count, duration } from '../output/numbers.js';
import type { Training } from './demo.js';
import type { DemoData } from './demo-data.js';

export interface DemoFacts {
  readonly data: DemoData;
  readonly spec: RunSpec;
  readonly training: Training;
  /** The run as the trainer tells it. */
  readonly reported: ReportRun;
  readonly evaluation: Evaluation;
  readonly preview: readonly PreviewImage[];
  readonly quick: boolean;
  /** True if the model was evaluated on held-out training images. */
  readonly validation: boolean;
  readonly home: string;
  readonly store: string;
}

export async function demoReport(facts: DemoFacts): Promise<ReportData> {
  const { data, spec, training, reported, evaluation, preview, quick, validation } = facts;
  const scores = evaluation.result!.weights!;
  const { progress, run } = training;
  const scored = validation
    ? 'every tenth training image, which was held out'
    : 'every seventh image, which was not used for training or for choosing settings';
  const speeds = [...progress.epochs.values()].map(({ imagesPerSecond }) => imagesPerSecond);
  return {
    title: `Early dropout on ${data.name}`,
    summary:
      `${quick ? 'This is a quick demo on a part of the data. ' : ''}${spec.model} was trained for ${spec.epochs} epochs on ${count(data.train.samples)} images, ` +
      `with dropout ${spec.dropout} falling to 0 at the end of epoch ${spec.cutoffEpoch}. It was evaluated on ${count(evaluation.result!.samples)} images: ${scored}.`,
    made: new Date().toISOString(),
    facts: [
      ['Top-1 by the evaluator', `${scores.top1.toFixed(2)} %`],
      ['Top-5', `${scores.top5.toFixed(2)} %`],
      ['Test loss', scores.loss.toFixed(4)],
      ['Images/s in training', count(speeds.reduce((sum, speed) => sum + speed, 0) / Math.max(1, speeds.length))],
      ['Training', duration(training.seconds)],
    ],
    // The trainer asked for the evaluations that are in the log; that of held-out images is the demo's own.
    runs: [{ ...reported, evaluations: validation ? [recordOf(evaluation)] : [] }],
    images: preview.map(({ png, className, steps }) => ({
      url: `data:image/png;base64,${Buffer.from(png).toString('base64')}`,
      className,
      steps,
    })),
    environment: [
      ['dropstream', version],
      ['run', run.name],
      ['data set', `${data.name}, manifest ${data.train.sha256.slice(0, 16)}…`],
      ['node', process.versions.node],
      ['processor', cpus()[0]?.model.trim() ?? process.arch],
      ['cores', String(await cgroupCores())],
      ['system', `${process.platform} ${process.arch}`],
    ],
    commands: commandsAfter(facts),
  };
}

function commandsAfter({ data, training: { run }, home: folder }: DemoFacts): string[] {
  const command = invocation();
  const home = relative(process.cwd(), folder) || '.';
  return [
    `${command} up --store ${home}/store --data-root ${home}/data  # starts the services again, with this run`,
    `${command} runs list  # run this and the following commands in another terminal`,
    `${command} checkpoints list ${run.name.split('/').at(-1)}`,
    `${command} train --model vit_nano_p7 --data_path ${relative(process.cwd(), data.folder)} --epochs 6 --warmup_epochs 1 --lr 3e-3 --batch_size 64 --drop_path 0.1 --drop_mode late --cutoff_epoch 3 --aa "" --color_jitter 0 --mixup 0 --cutmix 0 --reprob 0`,
    `${command} schedule preview --rate 0.1 --mode early --drop-schedule linear --cutoff-epoch 50`,
    'curl http://127.0.0.1:PORT/metrics  # PORT is one of the ports that `up` prints',
  ];
}

function recordOf({ name, spec, result }: Evaluation): unknown {
  return EvaluationRecord.toJSON(
    EvaluationRecord.fromPartial({ evaluation: name, checkpoint: spec!.checkpoint, step: result!.step, result: result! }),
  );
}
