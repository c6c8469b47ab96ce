/** Processes of bench:data, pinned to as many cores as the case may use: the loader in this process's place, and replicas of the service. */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Plan } from '#protocol/dropstream/v1/data.js';
import { sourceFlags } from '../support/processes.js';
import type { TrainingTask } from './data-training.js';

export interface PlannedTask {
  readonly seconds: number;
  /** What the manifest's paths are relative to. */
  readonly folder: string;
  readonly store: string;
  readonly plan: Plan;
  /** render: files in memory; read: files read and checked as the service does; grpc: through replicas. */
  readonly kind: 'render' | 'read' | 'grpc';
  /** render only: to float32, normalised and erased. */
  readonly finish: boolean;
  /** grpc only. */
  readonly addresses: readonly string[];
}
export type LoaderTask =
  | PlannedTask
  | ({ readonly kind: 'train'; readonly seconds: number } & TrainingTask)
  | { readonly kind: 'mix'; readonly seconds: number; readonly into: 'float32' | 'bfloat16' };

export interface LoaderDone {
  readonly images: number;
  readonly seconds: number;
  /** Of the whole process, all threads. */
  readonly cpuSeconds: number;
  /** Images a second of tenths of the block; mix: milliseconds of each batch. */
  readonly rates: readonly number[];
  /** Training only: seconds without a batch to train on. */
  readonly waitedSeconds: number;
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** The last `count` cores that this process may use, as taskset takes them; undefined where there is no taskset. */
export function coresFor(count: number): string | undefined {
  try {
    const text = execFileSync('taskset', ['-c', '-p', String(process.pid)], { encoding: 'utf8' });
    const cores = text
      .trim()
      .split(': ')[1]!
      .split(',')
      .flatMap((part) => {
        const [first, last = first] = part.split('-').map(Number) as [number, number?];
        return Array.from({ length: last! - first + 1 }, (_, i) => first + i);
      });
    return cores.slice(-count).join(',');
  } catch {
    return undefined;
  }
}

/** All threads of a process, and those that they start. */
export function pin(pid: number, cores: string | undefined): void {
  if (cores !== undefined) execFileSync('taskset', ['-a', '-c', '-p', cores, String(pid)], { stdio: 'ignore' });
}

/** One process that does tasks in turn; to be closed by whoever started it. */
export class Loader {
  private constructor(private readonly child: ChildProcess) {}

  static async start(threads: number, cores: string | undefined): Promise<Loader> {
    const child = fork(fileURLToPath(new URL('./data-work.ts', import.meta.url)), {
      execArgv: sourceFlags,
      // Plans hold 64-bit integers.
      serialization: 'advanced',
      env: { ...process.env, DROPSTREAM_THREADS: String(threads) },
    });
    const loader = new Loader(child);
    await loader.#answer(60_000);
    pin(child.pid!, cores);
    return loader;
  }

  async run(task: LoaderTask): Promise<LoaderDone> {
    this.child.send(task);
    const answer = (await this.#answer(1000 * task.seconds + 120_000)) as { done: LoaderDone } | { error: string };
    if ('error' in answer) throw new Error(`the loader: ${answer.error}`);
    return answer.done;
  }

  close(): void {
    if (this.child.connected) this.child.disconnect();
  }

  #answer(timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void) => {
        clearTimeout(timer);
        this.child.off('message', onMessage).off('exit', onExit);
        settled();
      };
      const onMessage = (message: unknown) => settle(() => resolve(message));
      const onExit = (code: number | null, signal: string | null) =>
        settle(() => reject(new Error(`the loader ended with ${code ?? signal}`)));
      const timer = setTimeout(() => settle(() => reject(new Error(`the loader did not answer in ${timeoutMs} ms`))), timeoutMs);
      this.child.on('message', onMessage).on('exit', onExit);
    });
  }
}
