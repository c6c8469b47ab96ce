/** npm run profile: kernel by kernel, where a step's time goes: a table, and a trace for Perfetto. */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KernelCall, ThreadJob } from '#engine/executable.js';
import { engineInfo } from '#native/addon.js';
import { EngineBlocks, MOST_CALLS } from './engine-blocks.js';
import { type KernelTime, kernelTimes, shapeOf } from './kernel-times.js';
import { textTable } from './text-table.js';
import { chromeTrace, type Span } from './trace-file.js';
import { caseUsage, countOf, parseCase, UsageError } from './training-case.js';

const defaultOut = join(tmpdir(), 'dropstream-profile.json');

const usage = `npm run profile -- [options]

  --steps N          steps to record, after three that warm up (default 3)
  --out FILE         the trace (default ${defaultOut}); open it at https://ui.perfetto.dev
  --shapes           a row of the table for every shape of a kernel
${caseUsage}`;

const WARM_UP_STEPS = 3;
const now = () => Number(process.hrtime.bigint()) / 1e9;

interface Recording {
  spans: Span[];
  calls: KernelCall[];
  jobs: ThreadJob[];
}

async function record(engine: EngineBlocks, steps: number): Promise<Recording> {
  const { profiler } = engine.program;
  if (profiler === undefined) throw new UsageError('the engine in use records no profile');
  const recording: Recording = { spans: [], calls: [], jobs: [] };
  for (let i = 0; i < WARM_UP_STEPS; i++) await engine.step();
  profiler.start(MOST_CALLS);
  for (let i = 0; i < steps; i++) {
    const begin = now();
    const { finish } = await engine.step();
    recording.spans.push({ name: `step ${i}`, begin, end: now() }, { name: 'finish', begin, end: begin + finish });
    const { calls, jobs, lost } = profiler.take();
    if (lost > 0) throw new Error(`${lost} kernel calls of one step found no room`);
    recording.calls.push(...calls);
    recording.jobs.push(...jobs);
  }
  profiler.stop();
  return recording;
}

function table(rows: readonly KernelTime[], steps: number, stepSeconds: number): string {
  const ms = (seconds: number) => ((1000 * seconds) / steps).toFixed(2);
  const rate = (amount: number, seconds: number) => (amount > 0 && seconds > 0 ? (amount / seconds / 1e9).toFixed(1) : '');
  const cells = rows.map(({ name, calls, seconds, atBest, flop, bytes }) => [
    name,
    (calls / steps).toFixed(calls % steps === 0 ? 0 : 1),
    ms(seconds),
    `${((100 * seconds) / steps / stepSeconds).toFixed(1)} %`,
    ms(atBest),
    rate(flop, atBest),
    rate(bytes, atBest),
  ]);
  return textTable([['kernel', 'calls', 'ms', 'share', 'at best', 'GFLOP/s', 'GB/s'], ...cells]);
}

function report({ spans, calls, jobs }: Recording, engine: EngineBlocks, steps: number, shapes: boolean): void {
  const total = (name: RegExp) => spans.filter((span) => name.test(span.name)).reduce((sum, { begin, end }) => sum + end - begin, 0);
  const [whole, finish] = [total(/^step/), total(/^finish/)];
  const rows = kernelTimes(calls, shapes ? shapeOf : ({ kernel }) => kernel, engine.optimizerBytes);
  const inside = rows.reduce((sum, { seconds }) => sum + seconds, 0);
  const rest = (name: string, seconds: number) => ({ name, calls: steps, seconds, atBest: seconds, flop: 0, bytes: 0 });
  const best = rows.reduce((sum, { atBest }) => sum + atBest, 0);
  console.log(
    table([...rows, rest('(finish from uint8)', finish), rest('(between kernels)', whole - finish - inside)], steps, whole / steps),
  );
  console.log('at best: milliseconds if every call had taken as long as the fastest of its shape, and the rates of that');
  console.log(`kernels: ${((1000 * inside) / steps).toFixed(1)} ms, at best ${((1000 * best) / steps).toFixed(1)} ms`);
  for (const thread of [...new Set(jobs.map((job) => job.thread))].sort((a, b) => a - b)) {
    const busy = jobs.filter((job) => job.thread === thread).reduce((sum, { begin, end }) => sum + end - begin, 0);
    console.log(`thread ${thread}: shared jobs for ${((100 * busy) / whole).toFixed(1)} % of the step`);
  }
}

async function profile(args: string[]): Promise<void> {
  const { options, own } = parseCase(args, { steps: { type: 'string' }, out: { type: 'string' }, shapes: { type: 'boolean' } });
  const steps = countOf('steps', String(own.steps ?? '3'));
  const out = String(own.out ?? defaultOut);
  const { isa, threads } = engineInfo();
  const title = `${options.model} ${options.precision} batch ${options.batch} on ${options.engine === 'native' ? `${threads} × ${isa}` : options.engine}`;
  const engine = await EngineBlocks.create(options);
  try {
    const recording = await record(engine, steps);
    console.log(`${title}: ${options.forward ? 'evaluations' : 'steps'}, per step of ${steps}`);
    report(recording, engine, steps, own.shapes === true);
    writeFileSync(out, chromeTrace(title, recording.spans, recording.calls, recording.jobs));
    console.log(`trace: ${out}`);
  } finally {
    engine.dispose();
  }
}

try {
  const args = process.argv.slice(2);
  if (args.includes('--help')) console.log(usage);
  else await profile(args);
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof RangeError)) throw error;
  console.error(`profile: ${error.message}\n\n${error instanceof UsageError ? usage : ''}`.trim());
  process.exitCode = 2;
}
