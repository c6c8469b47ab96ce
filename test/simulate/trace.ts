/** The work of a day: recorded, as JSON lines, or generated from a seed. */
import { exp, log } from '#random/elementary.js';
import { normalQuantile } from '#random/normal.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';

export interface TracedRun {
  /** Seconds from the beginning of the day at which it is created. */
  readonly at: number;
  /** Seconds of training on a node of speed 1, without waiting. */
  readonly seconds: number;
  readonly project: string;
}

const day = 86_400;
const projects = ['vision', 'speech', 'robots', 'medical', 'thesis'];
/** Of the runs, so many come in sweeps; a sweep has so many runs at once. */
const [sweepShare, sweepSize] = [0.3, 25];

/** Draws of one purpose, each used once, in order. */
export function drawer(seed: bigint, purpose: string): { uniform(): number; normal(): number; exponential(mean: number): number } {
  const draws = new PhiloxDraws(purposeKey(seed, purpose));
  let index = 0;
  return {
    uniform: () => draws.uniform(index++),
    normal: () => normalQuantile(draws.uniformOpen(index++)),
    exponential: (mean) => -mean * log(draws.uniformOpen(index++)),
  };
}

/** A working day: four times as many runs at 14:00 as at 2:00, most of them short (median 10 minutes, mean 20), some of them in sweeps. */
export function generateDay(runs: number, seed: bigint): TracedRun[] {
  const [times, sizes, owners] = [drawer(seed, 'times'), drawer(seed, 'sizes'), drawer(seed, 'owners')];
  const made: TracedRun[] = [];
  const size = (): number => Math.min(12 * 3600, Math.max(20, 600 * exp(1.18 * sizes.normal())));
  const time = (): number => {
    for (;;) {
      const at = times.uniform() * day;
      if (times.uniform() < 0.625 - 0.375 * Math.cos((2 * Math.PI * (at - 2 * 3600)) / day)) return at;
    }
  };
  while (made.length < runs) {
    const [at, project] = [time(), projects[Math.floor(owners.uniform() ** 1.5 * projects.length)]!];
    const isSweep = owners.uniform() < sweepShare / (sweepShare + (1 - sweepShare) * sweepSize);
    const [count, seconds] = isSweep ? [sweepSize, size()] : [1, size()];
    for (let k = 0; k < count && made.length < runs; k++)
      made.push({ at: at + 2 * k, seconds: isSweep ? seconds * (0.8 + 0.4 * sizes.uniform()) : seconds, project });
  }
  return made.sort((a, b) => a.at - b.at);
}

/** @throws Error that names the line, for anything but JSON lines of TracedRun */
export function parseTrace(text: string): TracedRun[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  if (lines.length === 0 || lines.length > 1_000_000) throw new Error(`a trace has 1 to 1,000,000 runs, and this one ${lines.length}`);
  const runs = lines.map((line, k) => {
    const wrong = (what: string) => new Error(`line ${k + 1} of the trace: ${what}`);
    let run: Partial<TracedRun>;
    try {
      run = JSON.parse(line) as Partial<TracedRun>;
    } catch {
      throw wrong('it is no JSON');
    }
    const { at, seconds, project = 'default' } = run ?? {};
    if (typeof at !== 'number' || !(at >= 0 && at <= 7 * day)) throw wrong(`at is ${at}, must be seconds from 0 to ${7 * day}`);
    if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= 30 * day))
      throw wrong(`seconds is ${seconds}, must be above 0, at most ${30 * day}`);
    if (typeof project !== 'string') throw wrong('project must be text');
    return { at, seconds, project };
  });
  return runs.sort((a, b) => a.at - b.at);
}
