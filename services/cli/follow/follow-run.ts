/** Shows a run until it ends: the epoch table row by row, and a status line on terminals or a line every few seconds elsewhere. */
import { endStates, type FollowOptions, runEvents, type TrainerClient } from '#client/run-events.js';
import { type Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { type LogFolders, RunLogs } from '../log-files/run-logs.js';
import { askOnInterrupt } from './interrupt.js';
import { liveCurves } from './live-curves.js';
import { beginProgress, evaluationOf, type RunProgress, takeEvent } from './run-progress.js';
import { epochRow, statusLine } from './status-line.js';

/** Without a terminal, a line is printed at least this often. */
const PLAIN_EVERY_MS = 5000;
/** A terminal is drawn at most this often. */
const DRAW_MS = 100;

/**
 * Follows `name` until it ends and writes log files into `folders`. `curves` are shown on a terminal that is large enough. Ctrl-C asks whether to detach or to pause; without a terminal it detaches.
 * @returns the final progress
 * @throws CommandError with exit code 1 if the run failed or has no evaluation that succeeded, 130 after detaching
 */
export async function followRun(
  client: TrainerClient,
  name: string,
  context: Context,
  { folders, curves = false, ...options }: Partial<FollowOptions> & { readonly folders?: LogFolders; readonly curves?: boolean } = {},
): Promise<RunProgress> {
  const { run } = await client.getRun({ name }, { timeoutMs: 30_000, signal: context.signal });
  if (run === undefined) throw new CommandError(`the trainer did not return the run ${name}`);
  const imagesPerStep = (run.spec?.batchSize ?? 64) * (run.spec?.updateFreq ?? 1);
  const progress = beginProgress({ ...run, imagesPerStep, evaluated: !run.spec?.disableEval, state: RunState.QUEUED });
  const logs = folders && (await RunLogs.open(folders, run, context.cwd));
  const leave = new AbortController();
  const interrupt = askOnInterrupt(context, name, {
    pause: async () => void (await client.pauseRun({ name }, { timeoutMs: 30_000 })),
    detach: () => leave.abort(),
  });
  const view = showProgress(progress, context, { curves, isHeld: interrupt.isAsking });
  try {
    const signal = AbortSignal.any([context.signal, leave.signal]);
    for await (const event of runEvents(client, name, {
      onReconnect: (error) => view.note(`the trainer does not answer, trying again: ${error.message}`),
      ...options,
      signal,
    })) {
      takeEvent(progress, event);
      await logs?.take(event);
      view.update(event.event?.$case);
      // The run was resumed after this pause.
      if (progress.state === RunState.PAUSED && event.sequence >= run.logSequence) break;
    }
  } catch (error) {
    if (!leave.signal.aborted) throw error;
  } finally {
    view.close();
    interrupt.close();
    await logs?.close();
  }
  if (leave.signal.aborted) {
    throw new CommandError(`detached; the run continues. Follow it again with \`dropstream runs watch ${name}\``, 130);
  }
  throwIfFailed(endOf(name, progress));
  const { state, reason } = progress;
  const note = state === RunState.SUCCEEDED && reason !== '' ? `: ${reason}` : '';
  if (endStates.has(state) || state === RunState.PAUSED) context.terminal.err(`${name} is ${RunState[state]}${note}`);
  return progress;
}

/** @throws CommandError with exit code 1 if the run failed, or if it has succeeded and all evaluations of its checkpoints failed */
export function throwIfFailed(run: RunEnd): void {
  const { name, state, failure, evaluationsSucceeded, evaluationsFailed, evaluationFailure } = run;
  if (state === RunState.FAILED) throw new CommandError(`${name} failed: ${failure}`);
  if (state !== RunState.SUCCEEDED || evaluationsSucceeded > 0 || evaluationsFailed === 0) return;
  const which = evaluationsFailed === 1 ? 'its only evaluation' : `all of its ${evaluationsFailed} evaluations`;
  throw new CommandError(`${name} was trained to its end, but ${which} failed: ${evaluationFailure}`);
}

type RunEnd = Pick<Run, 'name' | 'state' | 'failure' | 'evaluationsSucceeded' | 'evaluationsFailed' | 'evaluationFailure'>;

function endOf(name: string, { state, reason, evaluations }: RunProgress): RunEnd {
  const failed = evaluations.filter(({ failure }) => failure !== '');
  return {
    name,
    state,
    failure: reason,
    evaluationsSucceeded: evaluations.length - failed.length,
    evaluationsFailed: failed.length,
    evaluationFailure: failed.at(-1)?.failure ?? '',
  };
}

export interface ProgressView {
  update(kind: string | undefined): void;
  note(line: string): void;
  /** Stops the timer and shows the last lines. */
  close(): void;
}

export interface ViewOptions {
  /** Whether curves stand above the status line of a terminal. */
  readonly curves?: boolean;
  /** While it says so, nothing is drawn over what stands on the terminal; default: never. */
  readonly isHeld?: () => boolean;
}

/** Prints `progress` after every event and at intervals, so that a waiting run is shown too. */
export function showProgress(
  progress: RunProgress,
  context: Pick<Context, 'terminal'>,
  { curves = false, isHeld = () => false }: ViewOptions = {},
): ProgressView {
  const { terminal } = context;
  let titled = false;
  let shownEpochs = 0;
  const shownSteps = new Set<bigint>();
  let lastPlain = performance.now();
  let noted = '';
  const rows = (all: boolean) => {
    const epochs = [...progress.epochs.values()];
    // A row is held back for its evaluation, for two epochs at most, so that it can contain top-1.
    for (; shownEpochs < epochs.length; shownEpochs++) {
      const line = epochs[shownEpochs]!;
      const found = evaluationOf(progress, line.epoch);
      if (found === undefined && progress.evaluated && !all && shownEpochs >= epochs.length - 2) break;
      if (!titled) terminal.err(epochRow());
      titled = true;
      terminal.err(epochRow({ ...line, top1: found && (found.scores?.top1 ?? 'failed') }));
      if (found?.scores !== undefined) shownSteps.add(found.step);
    }
  };
  let drawn = 0;
  const draw = () => {
    if (isHeld()) return;
    drawn = performance.now();
    const above = curves && terminal.interactive ? liveCurves(progress, terminal) : [];
    terminal.status(...above, statusLine(progress, terminal.columns));
    if (!terminal.interactive && performance.now() - lastPlain > PLAIN_EVERY_MS) {
      terminal.err(statusLine(progress));
      lastPlain = performance.now();
    }
  };
  const placeOf = (step: bigint): string => {
    const epochs = Number(step) / progress.stepsPerEpoch;
    return Number.isInteger(epochs) ? `epoch ${epochs}` : `step ${step}`;
  };
  const tellFailure = () => {
    const { step, failure } = progress.evaluations.at(-1)!;
    if (failure !== '') terminal.err(`${placeOf(step)}: the evaluation failed: ${failure}`);
  };
  const tellCutoff = () => {
    const { step, failure, endsAtStep } = progress.cutoff!;
    if (failure !== '') terminal.err(`${placeOf(step)}: the gradients could not be measured for the cutoff: ${failure}`);
    else if (endsAtStep > 0n) terminal.err(`${placeOf(step)}: drop no longer helps, and ends at ${placeOf(endsAtStep)}`);
  };
  const timer = setInterval(draw, 1000);
  return {
    update(kind) {
      if (kind === 'checkpointSkipped') {
        const { checkpoint, reason } = progress.skipped!;
        terminal.err(`${checkpoint} cannot be loaded, and the checkpoint before it is used: ${reason}`);
      }
      if (kind === 'cutoffMeasured') tellCutoff();
      if (kind === 'evaluation') tellFailure();
      if (kind === 'steps')
        for (const { step, lossScale } of progress.overflowed)
          terminal.err(`step ${step} changed no weights: its gradient overflowed in f16 with the loss scale ${lossScale}, which is halved`);
      if (kind === 'claimed' && progress.engine !== '') terminal.err(`the worker chose the engine ${progress.engine}`);
      if (kind === 'resumed' && progress.attempt > 1) terminal.err(`attempt ${progress.attempt} continues at step ${progress.step}`);
      rows(false);
      // A long log arrives faster than anybody reads; the timer shows the last of it.
      if (performance.now() - drawn > DRAW_MS) draw();
    },
    note(line) {
      if (line !== noted) terminal.err(line);
      noted = line;
    },
    close() {
      clearInterval(timer);
      rows(true);
      terminal.status('');
      // Evaluations that ended after their epoch's row was printed.
      for (const { step, scores } of progress.evaluations) {
        if (scores === undefined || shownSteps.has(step)) continue;
        const { top1, top5, loss } = scores;
        terminal.err(`${placeOf(step)}: top-1 ${top1.toFixed(2)} %, top-5 ${top5.toFixed(2)} %, loss ${loss.toFixed(4)}`);
      }
    },
  };
}
