/** `dropstream demo`: trains a small model with all services and writes a report. */
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runEvents } from '#client/run-events.js';
import { DataServiceClient } from '#protocol/dropstream/v1/data.js';
import { type Evaluation, EvaluationState, EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type Run, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { dropSchedules, engines } from '#spec/words.js';
import type { ServiceName } from '../addresses.js';
import { callerOf } from '../caller.js';
import { type Context, homeFolder } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { showProgress } from '../follow/follow-run.js';
import { beginProgress, type RunProgress, takeEvent } from '../follow/run-progress.js';
import { count, duration } from '../output/numbers.js';
import { paint } from '../output/terminal.js';
import { makePrivateFolder } from '../private-folder.js';
import { readReportRun } from '../report/read-run.js';
import { reportPage } from '../report/report-file.js';
import { forwardLine } from '../up/forward-line.js';
import { type RunningServices, startAll } from '../up/start-all.js';
import { type DemoData, demoDataRoot, prepareData } from './demo-data.js';
import { imagesOfPlan } from './demo-images.js';
import { demoReport } from './demo-report.js';
import { demoSpec } from './demo-spec.js';

export interface DemoOptions {
  readonly quick?: boolean;
  readonly epochs?: string;
  readonly engine?: string;
  readonly report?: string;
  readonly keep?: boolean;
  readonly synthetic?: boolean;
  readonly validation?: boolean;
  readonly json?: boolean;
}

const FULL_EPOCHS = 6;
const QUICK_EPOCHS = 4;
const HOLDOUT_STRIDE = 10;
const CALL_MS = 30_000;

/** Results of the training phase. */
export interface Training {
  readonly run: Run;
  readonly progress: RunProgress;
  /** Wall-clock seconds from creation to the end, including evaluations. */
  readonly seconds: number;
}

export async function runDemo(options: DemoOptions, context: Context): Promise<void> {
  const { terminal } = context;
  const quick = options.quick ?? false;
  const epochs = options.epochs === undefined ? (quick ? QUICK_EPOCHS : FULL_EPOCHS) : Number(options.epochs);
  if (!Number.isInteger(epochs) || epochs < 1 || epochs > 1000)
    throw new CommandError(`--epochs is ${options.epochs}, must be from 1 to 1000`, 2);
  const engine = options.engine === undefined ? undefined : engines.parse(options.engine);
  if (options.engine !== undefined && engine === undefined)
    throw new CommandError(`--engine is ${options.engine}, must be ${engines.rule(options.engine)}`, 2);
  makePrivateFolder(homeFolder(context));
  const home = join(homeFolder(context), 'demo');
  const dataRoot = demoDataRoot(home);
  const store = join(home, 'store');
  await mkdir(dataRoot, { recursive: true });

  // Before the training, so that nobody waits for a report that cannot be written.
  const fill = await reportPage();
  const began = performance.now();
  let phases = 0;
  const phase = (title: string) => terminal.err(paint(terminal, 'bold', `\n${++phases}. ${title}`));
  let services: RunningServices | undefined;
  try {
    phase('Images');
    const data = await prepareData({ quick, synthetic: options.synthetic ?? false }, dataRoot, store, context);

    phase('Services');
    services = await startServices(home, store, dataRoot, context);
    const connectTo = <D extends object>(type: ClientClass<D>, service: ServiceName) => {
      const { address } = services!.state.services.find((s) => s.service === service)!;
      return connect(type, address, callerOf(context, address));
    };

    phase('Training');
    const trainer = connectTo(TrainerServiceClient, 'trainer');
    const evaluator = connectTo(EvaluatorServiceClient, 'evaluator');
    const dataService = connectTo(DataServiceClient, 'data');
    try {
      const holdoutStride = options.validation ? HOLDOUT_STRIDE : 0;
      const samples = data.train.samples - (holdoutStride ? Math.ceil(data.train.samples / holdoutStride) : 0);
      const evalManifest = options.validation ? '' : data.test.sha256;
      const spec = demoSpec({ epochs, samples, trainManifest: data.train.sha256, evalManifest, holdoutStride, engine });
      const training = await train(trainer, spec, context);

      phase('Result');
      const evaluation = options.validation
        ? await scoreHoldout(trainer, evaluator, training, data, context)
        : await lastEvaluation(evaluator, training, context);
      const scores = evaluation.result!.weights!;
      const preview = await imagesOfPlan(dataService, spec, { timeoutMs: CALL_MS, signal: context.signal });
      const file = resolve(context.cwd, options.report ?? join(home, 'report.html'));
      const totalSeconds = (performance.now() - began) / 1000;
      const reported = await readReportRun(training.run.name, { client: trainer, call: { timeoutMs: CALL_MS, signal: context.signal } });
      const report = await demoReport({
        data,
        spec,
        training,
        reported,
        evaluation,
        preview,
        quick,
        validation: options.validation ?? false,
        home,
        store,
      });
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, fill(report));

      const what = options.validation ? 'held-out training images' : 'test images';
      terminal.out(
        `top-1 ${scores.top1.toFixed(2)} %, top-5 ${scores.top5.toFixed(2)} %, loss ${scores.loss.toFixed(4)} by the evaluator on ${count(evaluation.result!.samples)} ${what}`,
      );
      if (options.json)
        terminal.out(
          JSON.stringify({
            top1: scores.top1,
            top5: scores.top5,
            loss: scores.loss,
            run: training.run.name,
            report: file,
            seconds: totalSeconds,
          }),
        );
      terminal.err(`\n${duration(totalSeconds)} in all. Report: ${pathToFileURL(file).href}`);
      terminal.err(`\nTry next:\n${report.commands.map((line) => `  ${line}`).join('\n')}`);
      if (options.keep) {
        terminal.err('\nThe services keep running until Ctrl-C.');
        await new Promise<void>((done) => context.signal.addEventListener('abort', () => done(), { once: true }));
      }
    } finally {
      for (const client of [trainer, evaluator, dataService]) client.close();
    }
  } finally {
    terminal.status('');
    await services?.stop();
  }
}

async function startServices(home: string, store: string, dataRoot: string, context: Context): Promise<RunningServices> {
  const { terminal } = context;
  terminal.err('starting scheduler, data, evaluator, trainer and gateway, each in its own process');
  const services = await startAll({
    home,
    store,
    dataRoots: [dataRoot],
    env: context.env,
    cwd: context.cwd,
    gateway: true,
    drainMs: 5000,
    onLine: (name, line) => forwardLine(terminal, name, line, 'error'),
    onEvent: (event) => {
      if (event.kind === 'died') terminal.err(`${event.name} crashed (${event.how}); it will be restarted in ${event.restartInMs} ms`);
    },
  });
  const { gateway } = services.state;
  if (gateway) terminal.err(`  ${'console'.padEnd(10)} ${gateway.url}`);
  for (const { name, address, admin } of services.state.services)
    terminal.err(`  ${name.padEnd(10)} gRPC ${address.padEnd(16)} curl ${admin}/metrics`);
  return services;
}

async function train(trainer: Trainer, spec: RunSpec, context: Context): Promise<Training> {
  const { terminal, signal } = context;
  const began = performance.now();
  const runId = `demo-${randomUUID().slice(0, 8)}`;
  const { run } = await trainer.createRun(
    { parent: 'projects/default', runId, spec, requestId: randomUUID() },
    { timeoutMs: CALL_MS, signal },
  );
  const dropout = `early dropout ${spec.dropout}, ${dropSchedules.wordOf(spec.dropSchedule)}, until epoch ${spec.cutoffEpoch}`;
  terminal.err(
    `${run!.name}: ${spec.model}, ${count(run!.parameters)} parameters, ${spec.epochs} epochs of ${count(run!.stepsPerEpoch)} steps, ${dropout}`,
  );
  const progress = beginProgress({ ...run!, imagesPerStep: spec.batchSize ?? 64, evaluated: spec.evalManifest !== '' });
  const view = showProgress(progress, context);
  try {
    for await (const event of runEvents(trainer, run!.name, { signal, onReconnect: (error) => view.note(error.message) })) {
      takeEvent(progress, event);
      view.update(event.event?.$case);
    }
  } finally {
    view.close();
  }
  if (progress.state !== RunState.SUCCEEDED) throw new CommandError(`${run!.name} is ${RunState[progress.state]}: ${progress.reason}`);
  return { run: run!, progress, seconds: (performance.now() - began) / 1000 };
}

type Trainer = ReturnType<typeof connect<(typeof TrainerServiceClient)['service']>>;
type Evaluator = ReturnType<typeof connect<(typeof EvaluatorServiceClient)['service']>>;

/** The evaluation of the last checkpoint, which the trainer requested. */
async function lastEvaluation(evaluator: Evaluator, { run, progress }: Training, context: Context): Promise<Evaluation> {
  const last = progress.evaluations.reduce((a, b) => (b.step > a.step ? b : a), progress.evaluations[0]!);
  if (last === undefined) throw new CommandError(`${run.name} was not evaluated`);
  if (last.failure !== '') throw new CommandError(`the last checkpoint of ${run.name} could not be evaluated: ${last.failure}`);
  const { evaluation } = await evaluator.getEvaluation({ name: last.name }, { timeoutMs: CALL_MS, signal: context.signal });
  if (evaluation?.result?.weights === undefined) throw new CommandError(`${last.name} has no result`);
  return evaluation;
}

/** Evaluates the last checkpoint on the held-out training images. */
async function scoreHoldout(
  trainer: Trainer,
  evaluator: Evaluator,
  { run }: Training,
  data: DemoData,
  context: Context,
): Promise<Evaluation> {
  const { checkpoint } = await trainer.getCheckpoint(
    { name: `${run.name}/checkpoints/latest` },
    { timeoutMs: CALL_MS, signal: context.signal },
  );
  const spec = {
    checkpoint: checkpoint!.name,
    manifest: data.train.sha256,
    subsetStride: HOLDOUT_STRIDE,
    subsetOffset: 0,
  };
  const created = await evaluator.createEvaluation(
    { parent: 'projects/default', spec, requestId: randomUUID() },
    { timeoutMs: CALL_MS, signal: context.signal },
  );
  let { evaluation } = created;
  for await (const next of evaluator.watchEvaluation({ name: evaluation!.name }, { signal: context.signal })) evaluation = next.evaluation;
  if (evaluation?.state !== EvaluationState.SUCCEEDED) throw new CommandError(`the evaluation failed: ${evaluation?.failure}`);
  return evaluation;
}
