/** npm run bench:kernels: every kernel on one core, beside what that core can do at most. */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { devicePeaks } from './gpu-peaks.js';
import { peakLines } from './gpu-table.js';
import { compare, type KernelRow, onRegisters, type Peak, parseLines } from './kernel-rows.js';
import { processor } from './machine-peak.js';
import { textTable } from './text-table.js';

const usage = `npm run bench:kernels -- [options]

  --engine NAME    native, or webgpu for the most that the GPU can do, which DROPSTREAM_GPU names (default native)
  --isa NAME       one instruction set of amx, avx512_bf16, avx512, avx2, neon_bf16, neon, portable (default: all that this processor has)
  --filter TEXT    kernels whose line contains this
  --json           one JSON object a line instead of tables

Built into libs/native/build/bench, run on one thread. Nothing else should run meanwhile.`;

const MINUTE_MS = 60_000;
const run = promisify(execFile);
const source = fileURLToPath(new URL('../../libs/native', import.meta.url));
const build = join(source, 'build', 'bench');

async function compile(): Promise<void> {
  mkdirSync(build, { recursive: true });
  const settings = ['-DDROPSTREAM_ADDON=OFF', '-DDROPSTREAM_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release'];
  await run('cmake', ['-S', source, '-B', build, ...settings], { timeout: 2 * MINUTE_MS });
  const parallel = ['--parallel', String(availableParallelism())];
  await run('cmake', ['--build', build, ...parallel], { timeout: 20 * MINUTE_MS, maxBuffer: 2 ** 26 });
}

async function lines<Row>(program: string, isa: string | undefined): Promise<{ rows: Row[]; other: string[] }> {
  const { stdout } = await run(join(build, 'Release', program), isa === undefined ? [] : [isa], {
    timeout: 20 * MINUTE_MS,
    maxBuffer: 2 ** 26,
  });
  return parseLines<Row>(stdout);
}

function printPeaks(peaks: readonly Peak[]): void {
  for (const isa of new Set(peaks.map((peak) => peak.isa))) {
    const own = peaks.filter((peak) => peak.isa === isa);
    const products = own
      .filter((peak) => peak.peak === 'multiply-add')
      .map((peak) => `${peak.type} ${peak.gflops} GFLOP/s${onRegisters(peak) ? '' : ` with operands from ${peak.operands}`}`);
    const bandwidth = own.flatMap((peak) => (peak.peak === 'bandwidth' ? [`${peak.bytes >> 10} KiB ${peak.gb_per_s}`] : []));
    console.log(`${isa}: multiply-adds ${products.join(', ')}\n  GB/s at ${bandwidth.join(', ')}`);
  }
}

const percent = (share: number | undefined) => (share === undefined ? '' : `${(100 * share).toFixed(0)} %`);
const rate = (value: number) => (value > 0 ? value.toFixed(value < 10 ? 1 : 0) : '');

function printRows(rows: readonly KernelRow[], peaks: readonly Peak[]): void {
  for (const isa of new Set(rows.map((row) => row.isa))) {
    const cells = rows
      .filter((row) => row.isa === isa)
      .map((row) => compare(row, peaks))
      .map((row) => [
        row.kernel,
        row.shape,
        row.type,
        row.us.toFixed(row.us < 100 ? 2 : 0),
        rate(row.gflops),
        percent(row.ofMultiplyAdds),
        rate(row.gb_per_s),
        percent(row.ofBandwidth),
      ]);
    console.log(`\n${textTable([[isa, 'shape', 'type', 'µs', 'GFLOP/s', 'of peak', 'GB/s', 'of bandwidth'], ...cells])}`);
  }
}

async function benchDevice(json: boolean): Promise<void> {
  const device = await devicePeaks();
  if (!json) return console.log(peakLines(device));
  for (const peak of device.peaks) console.log(JSON.stringify({ processor: device.adapter, software: device.software, ...peak }));
}

interface Options {
  engine?: string | undefined;
  isa?: string | undefined;
  filter?: string | undefined;
  json?: boolean | undefined;
}

async function bench({ engine = 'native', isa, filter, json = false }: Options): Promise<void> {
  if (engine === 'webgpu') return benchDevice(json);
  if (engine !== 'native') throw new RangeError(`--engine: ${engine} is not one of native, webgpu`);
  await compile();
  const { rows: peaks } = await lines<Peak>('dropstream_machine_peak', isa);
  if (peaks.length === 0) throw new RangeError(`--isa: this processor has no ${isa}`);
  const measured = await lines<KernelRow>('dropstream_kernel_bench', isa);
  const rows = measured.rows.filter((row) => filter === undefined || `${row.kernel} ${row.shape} ${row.type}`.includes(filter));
  if (json) {
    for (const line of [...peaks, ...rows.map((row) => compare(row, peaks))])
      console.log(JSON.stringify({ processor: processor(), ...line }));
    return;
  }
  console.log(processor());
  printPeaks(peaks);
  printRows(rows, peaks);
  if (measured.other.length > 0) console.log(`\n${measured.other.join('\n')}`);
}

try {
  const { values } = parseArgs({
    options: {
      engine: { type: 'string' },
      isa: { type: 'string' },
      filter: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) console.log(usage);
  else await bench(values);
} catch (error) {
  if (!(error instanceof RangeError) && !(error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`bench:kernels: ${(error as Error).message}\n\n${usage}`);
  process.exitCode = 2;
}
