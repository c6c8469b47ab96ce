/** A worker of bench:groups, and what its metrics say about the steps of its run. */
import { setTimeout as delay } from 'node:timers/promises';
import { type ServiceProcess, startService } from '../support/processes.js';

export interface BenchWorker {
  readonly name: string;
  readonly service: ServiceProcess;
  /** When the last step that it has recorded ended, in ms since 1970; 0 if it leads no run. */
  lastStepMs(): Promise<number>;
  /** The number of images of the steps that it has recorded, and when the last one ended, in ms since 1970, of one moment. */
  progress(): Promise<{ readonly images: number; readonly atMs: number }>;
  /** Number of leaves that were computed again in runs that it leads. */
  recomputed(): Promise<number>;
  /** When its log said this, in ms since 1970. */
  saidMs(text: string): readonly number[];
}

/** Between two looks at the metrics. */
const lookMs = 10;
const longestMs = 60_000;

/** Killed by `t`. */
export async function benchWorker(
  t: Parameters<typeof startService>[0],
  name: string,
  argv: string[],
  threads: number,
): Promise<BenchWorker> {
  const service = await startService(t, 'trainer', argv, { DROPSTREAM_THREADS: String(threads) });
  const metrics = async (): Promise<string> =>
    await (await fetch(`${service.admin}/metrics`, { signal: AbortSignal.timeout(5000) })).text();
  const valueIn = (text: string, metric: string): number =>
    Number(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(text)?.[1] ?? 0);
  const value = async (metric: string): Promise<number> => valueIn(await metrics(), metric);
  return {
    name,
    service,
    lastStepMs: async () => 1000 * (await value('dropstream_run_last_step_timestamp_seconds')),
    progress: async () => {
      const text = await metrics();
      const atMs = 1000 * valueIn(text, 'dropstream_run_last_step_timestamp_seconds');
      return { images: valueIn(text, 'dropstream_trainer_images_total'), atMs };
    },
    recomputed: () => value('dropstream_trainer_group_leaves_recomputed_total'),
    saidMs: (text) =>
      service
        .log()
        .split('\n')
        .filter((line) => line.includes(text))
        .map((line) => new Date((JSON.parse(line) as { time: number | string }).time).getTime()),
  };
}

/** Follows so many steps of a leader. @returns the mean of their seconds */
export async function stepsFrom(leader: BenchWorker, count: number): Promise<number> {
  const ends: number[] = [];
  for (const until = Date.now() + longestMs; ends.length <= count; await delay(lookMs)) {
    if (Date.now() > until) throw new Error(`${leader.name} makes no steps:\n${leader.service.log().slice(-2000)}`);
    const last = await leader.lastStepMs();
    if (last > 0 && last !== ends.at(-1)) ends.push(last);
  }
  return (ends.at(-1)! - ends[0]!) / 1000 / count;
}

/** The images of all steps of a run so far, and when the last one ended, as its leader has recorded it. */
export async function lastStep(workers: readonly BenchWorker[]): ReturnType<BenchWorker['progress']> {
  const all = await Promise.all(workers.map((one) => one.progress()));
  return all.reduce((a, b) => (b.images > a.images ? b : a));
}

/** The first step of a generation that has formed after a moment, in ms since 1970: one that was only recorded later does not count. */
export async function nextStep(
  workers: readonly BenchWorker[],
  sinceMs: number,
): Promise<{ readonly seconds: number; readonly formedSeconds: number }> {
  for (const until = Date.now() + longestMs; Date.now() < until; await delay(lookMs)) {
    for (const one of workers) {
      const formed = one.saidMs('the workers of the run have connected').find((ms) => ms >= sinceMs);
      if (formed === undefined) continue;
      const last = await one.lastStepMs();
      if (last >= formed) return { seconds: (last - sinceMs) / 1000, formedSeconds: (formed - sinceMs) / 1000 };
    }
  }
  throw new Error(`no step was made within ${longestMs} ms:\n${workers.map(({ service }) => service.log().slice(-2000)).join('\n')}`);
}
