/** The processor of this machine, and the multiply-adds that it can do. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EngineInfo } from '#native/addon.js';
import { sharedPath } from '../support/shared-folder.js';

const run = promisify(execFile);

/** Its name, with family and model where the system tells them: clouds call several generations by one name. */
export function processor(): string {
  const name = cpus()[0]?.model.trim() ?? 'unknown';
  try {
    const facts = readFileSync('/proc/cpuinfo', 'utf8');
    const fact = (field: string) => new RegExp(`^${field}\\s*: (\\S+)$`, 'm').exec(facts)?.[1];
    const [family, model] = [fact('cpu family'), fact('model')];
    return family && model ? `${name} (family ${family} model ${model})` : name;
  } catch {
    return name;
  }
}

/**
 * GFLOP/s of fused multiply-adds on registers alone, on `threads` cores, measured now by shared/peers/peak.c, which knows AVX-512 only and
 * two threads at most (more are taken as multiples of one); the best of its seven rounds, since it is a limit. Undefined where that is not
 * there, the machine has no AVX-512, or the products are made in tiles (`npm run bench:kernels` shows their limit).
 */
export async function peakGflops(precision: string, { threads, isa, available }: EngineInfo): Promise<number | undefined> {
  const source = sharedPath('peers', 'peak.c');
  if (source === undefined || !available.includes('avx512') || (isa === 'amx' && precision === 'bf16')) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-peak-'));
  try {
    const program = join(folder, 'peak');
    await run('cc', ['-O3', '-march=native', '-pthread', source, '-o', program], { timeout: 60_000 });
    const { stdout } = await run(program, { timeout: 120_000 });
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { max: number; threads: number; dtype: string });
    const of = (count: number) => rows.find((row) => row.dtype === precision && row.threads === count)?.max;
    const single = of(1);
    return of(threads) ?? (single === undefined ? undefined : single * threads);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
