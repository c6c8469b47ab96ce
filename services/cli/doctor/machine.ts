/** Checks Node, the tools that build the addon, and the processor. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import type { Check } from '../commands/doctor.js';
import type { Context } from '../context.js';
import { bytes } from '../output/numbers.js';

export async function machineChecks(_context: Pick<Context, 'env'>): Promise<Check[]> {
  const major = Number(process.versions.node.split('.')[0]);
  const [compiler, cmake, nasm, cores] = await Promise.all([
    firstVersion('c++', 'g++', 'clang++'),
    firstVersion('cmake'),
    firstVersion('nasm'),
    cgroupCores(),
  ]);
  return [
    { name: 'node', outcome: major >= 20 ? 'ok' : 'fail', detail: `${process.versions.node}${major >= 20 ? '' : ', must be at least 20'}` },
    tool('compiler', compiler, 'no compiler was found; one is needed only to build the addon: install g++ or clang'),
    tool('cmake', cmake, 'cmake was not found; it is needed only to build the addon: install cmake'),
    tool(
      'nasm',
      nasm,
      'nasm was not found; without it, the bundled libjpeg-turbo is built without SIMD: install nasm and run `npm run build`',
    ),
    {
      name: 'processor',
      outcome: 'ok',
      detail: `${cpus()[0]?.model.trim() ?? process.arch}, ${cores} cores usable, ${bytes(totalmem())} memory`,
    },
  ];
}

const tool = (name: string, version: string | undefined, without: string): Check =>
  version === undefined ? { name, outcome: 'warn', detail: without } : { name, outcome: 'ok', detail: version };

/** The first line of `--version` of the first of these programs that is installed. */
async function firstVersion(...commands: string[]): Promise<string | undefined> {
  for (const command of commands) {
    try {
      const { stdout } = await promisify(execFile)(command, ['--version'], { timeout: 10_000 });
      return stdout.split('\n')[0]?.trim();
    } catch {
      // Not installed: try the next one.
    }
  }
  return undefined;
}

/** Number of cores that the control group allows, at most those of the machine. */
export async function cgroupCores(): Promise<number> {
  const here = availableParallelism();
  const limit = await readFile('/sys/fs/cgroup/cpu.max', 'utf8').catch(() => 'max');
  const [quota, period] = limit.trim().split(' ').map(Number);
  return quota && period ? Math.min(here, Math.max(1, Math.ceil(quota / period))) : here;
}
