/**
 * One trainer worker in a process of its own that measures its event loop, phase by phase. It starts no process meanwhile: to fork a process of
 * gigabytes would hold up its loop, and no worker does that.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { engineInfo } from '#native/addon.js';
import { openStore } from '#storage/open-store.js';
import { createLogger } from '#telemetry/logger.js';
import { trainerConfig } from '../../services/trainer/config.js';
import { createTrainerMetrics } from '../../services/trainer/metrics.js';
import { createRunWorker } from '../../services/trainer/worker/run-worker.js';
import { sourceFlags } from '../support/processes.js';
import { type Late, LoopDelay, type PhaseDelay } from './loop-delay.js';

const idleMs = 2000;

interface Measured {
  readonly threads: number;
  /** idle, compile, then the first phase that was asked for, steps, and checkpoint: the saves and the steps beside them. */
  readonly phases: Record<string, PhaseDelay>;
  readonly lates: readonly Late[];
}

export interface MeasuredWorker {
  readonly pid: number;
  /** Gives the run back. @returns what was measured */
  end(): Promise<Measured>;
  /** Ends the process at once, if it still runs. */
  kill(): Promise<void>;
}

/** @param start what the worker does when its model is compiled. @param argv as of `serve trainer --role worker` */
export async function startMeasuredWorker(start: 'initialise' | 'resume', argv: string[]): Promise<MeasuredWorker> {
  const child = fork(fileURLToPath(import.meta.url), [start, ...argv], { execArgv: sourceFlags });
  const ended = once(child, 'exit');
  const failed = ended.then(([code, signal]) => Promise.reject(new Error(`the worker ended with ${code ?? signal}`)));
  failed.catch(() => undefined);
  await Promise.race([once(child, 'message'), failed]);
  return {
    pid: child.pid as number,
    async end() {
      child.send('end');
      const [measured] = await Promise.race([once(child, 'message'), failed]);
      await ended;
      return measured as Measured;
    },
    async kill() {
      if (hasEnded(child)) return;
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;

async function measure([start = '', ...argv]: string[]): Promise<void> {
  const config = trainerConfig.parse({ argv });
  const store = await openStore(config.store);
  const loop = new LoopDelay('idle');
  await delay(idleMs);
  // The worker's own log and metrics tell where one phase ends and the next one begins.
  const phaseOf: Record<string, string> = { 'the model is compiled': start, training: 'steps' };
  const destination = {
    write: (line: string) => {
      const phase = phaseOf[(JSON.parse(line) as { msg: string }).msg];
      if (phase !== undefined) loop.begin(phase);
    },
  };
  const metrics = createTrainerMetrics(new Registry());
  const worker = createRunWorker({
    store,
    config,
    evaluator: undefined,
    scheduler: undefined,
    metrics: {
      ...metrics,
      observeStep: (...step) => {
        metrics.observeStep(...step);
        loop.begin('checkpoint');
      },
    },
    logger: createLogger({ service: 'trainer', level: 'info', format: 'json', destination }),
  });
  process.send?.('started');
  loop.begin('compile');
  worker.start();
  await once(process, 'message');
  const phases = loop.close();
  await worker.stop();
  await store.close();
  process.send?.({ threads: engineInfo().threads, phases, lates: loop.lates } satisfies Measured);
  process.disconnect();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await measure(process.argv.slice(2));
