/** Unary calls by ghz, a load generator of its own; without it, this part is left out with the reason. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Tool } from '../support/tool.js';
import type { Answers } from './answers.js';
import { runNameOf, scheduleNameOf } from './fill.js';
import { type LoadedSystem, parent } from './system.js';

interface Call {
  readonly method: string;
  readonly address: string;
  readonly request: object;
}

/** The part of ghz's report that is read; times are in nanoseconds. */
interface Report {
  readonly count: number;
  readonly rps: number;
  readonly slowest: number;
  readonly latencyDistribution: readonly { readonly percentage: number; readonly latency: number }[] | null;
  readonly statusCodeDistribution: Readonly<Record<string, number>>;
}

export interface UnaryOptions {
  /** Calls of each method. */
  readonly calls: number;
  readonly together: number;
  /** Which methods: those of runs or of schedules need some. */
  readonly runs: boolean;
  readonly schedules: boolean;
}

/** @param ghz is looked for before the load begins, because it may have to be built */
export async function callUnary(
  ghz: Tool,
  { trainer, scheduler, data, manifest }: LoadedSystem,
  { calls, together, runs, schedules }: UnaryOptions,
): Promise<Answers> {
  if ('skip' in ghz) return { figures: { skipped: ghz.skip }, problems: [] };
  const spec = { kind: 'DROP_KIND_DROPOUT', rate: 0.1, mode: 'DROP_MODE_EARLY', schedule: 'DROP_SCHEDULE_LINEAR', cutoffEpoch: 2 };
  const length = { epochs: 10, stepsPerEpoch: 100, depth: 12 };
  const all: Call[] = [
    { method: 'DataService.DescribeDataset', address: data.address, request: { dataset: { manifest } } },
    { method: 'SchedulerService.PreviewSchedule', address: scheduler.address, request: { spec, length, samples: 10 } },
  ];
  if (runs) {
    all.push({ method: 'TrainerService.GetRun', address: trainer.address, request: { name: runNameOf(0) } });
    all.push({ method: 'TrainerService.ListRuns', address: trainer.address, request: { parent } });
  }
  if (schedules) {
    all.push({ method: 'SchedulerService.GetSchedule', address: scheduler.address, request: { name: scheduleNameOf(0) } });
    all.push({ method: 'SchedulerService.ListSchedules', address: scheduler.address, request: { parent } });
  }
  const figures: Record<string, object> = {};
  const problems: string[] = [];
  for (const { method, address, request } of all) {
    const options = ['--insecure', '--format', 'json', '--total', String(calls), '--concurrency', String(together), '--timeout', '60s'];
    const target = ['--call', `dropstream.v1.${method}`, '--data', JSON.stringify(request), address];
    const { stdout } = await promisify(execFile)(ghz.path, [...options, ...target], { timeout: 600_000, maxBuffer: 256 << 20 });
    const { count, rps, slowest, latencyDistribution, statusCodeDistribution } = JSON.parse(stdout) as Report;
    const ms = (percentage: number): number | undefined => {
      const found = latencyDistribution?.find((one) => one.percentage === percentage);
      return found && Math.round(found.latency / 1e4) / 100;
    };
    figures[method] = { calls: count, perSecond: Math.round(rps), p50: ms(50), p99: ms(99), max: Math.round(slowest / 1e4) / 100 };
    const ok = statusCodeDistribution.OK ?? 0;
    if (ok !== calls) problems.push(`${method}: ${ok} of ${calls} calls were answered: ${JSON.stringify(statusCodeDistribution)}`);
  }
  return { figures, problems };
}
