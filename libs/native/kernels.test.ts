import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { engineInfo } from './addon.js';

const run = promisify(execFile);
const source = fileURLToPath(new URL('.', import.meta.url));

// The kernels are pure C++ and tested without Node: every kernel against plain double loops, at fuzzed shapes, between guard pages, on
// every instruction set of this CPU, and whole programs with 1, 2 and 5 threads for equal bits.
test('every kernel equals its reference on every instruction set', { timeout: 590_000 }, async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-kernels-'));
  try {
    const configure = ['-S', source, '-B', folder, '-DDROPSTREAM_ADDON=OFF', '-DDROPSTREAM_TESTS=ON', '-DCMAKE_BUILD_TYPE=Release'];
    await run('cmake', configure, { timeout: 60_000 });
    await run('cmake', ['--build', folder, '--parallel', String(availableParallelism())], { timeout: 450_000, maxBuffer: 1 << 26 });
    const { stdout } = await run(join(folder, 'Release', 'dropstream_kernel_tests'), [], { timeout: 120_000 });
    for (const line of stdout.trim().split('\n')) t.diagnostic(line);
    for (const isa of engineInfo().available) assert.match(stdout, new RegExp(`^${isa}: \\d{3,} checks, 0 failed$`, 'm'));
    assert.match(
      stdout,
      /^amx: instructions (ran|not) on this machine; the model of the tile product ran \(\w.*\): \d{3,} checks, 0 failed$/m,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
