/** What a program on WebGPU does where there is no GPU or the GPU fails, and how a process with one ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noWebgpu, testAdapter } from '../../../test/support/webgpu-kernel.js';
import { compile } from '../compile.js';
import { ExecutorUnavailable } from '../executor.js';

const shapes = { imageSize: 14, classes: 5, batch: 2 };

/** The error of compiling with this value of DROPSTREAM_GPU. */
async function refusal(wanted: string | undefined): Promise<unknown> {
  const before = process.env.DROPSTREAM_GPU;
  if (wanted === undefined) delete process.env.DROPSTREAM_GPU;
  else process.env.DROPSTREAM_GPU = wanted;
  try {
    const program = await compile('mixer_nano_p7', shapes, { executor: 'webgpu' });
    program.dispose();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    if (before === undefined) delete process.env.DROPSTREAM_GPU;
    else process.env.DROPSTREAM_GPU = before;
  }
}

test('a GPU that is not there is refused with the names of those that are', { skip: noWebgpu }, async () => {
  const error = await refusal('abacus');
  assert.ok(error instanceof ExecutorUnavailable);
  assert.match(error.message, /^executor webgpu is not available: DROPSTREAM_GPU is "abacus": .*Available adapters: .*\w+/);
});

const softwareOnly = noWebgpu || (testAdapter === 'llvmpipe' ? false : 'another adapter is named');

test('an adapter that computes on the CPU is used only by its name', { skip: softwareOnly }, async () => {
  const error = await refusal(undefined);
  // A machine with a GPU besides has nothing to refuse.
  if (error === undefined) return;
  assert.ok(error instanceof ExecutorUnavailable);
  assert.match(error.message, /computes on the CPU; set DROPSTREAM_GPU/);
});

const endings: readonly [name: string, code: number | null, signal: NodeJS.Signals | null][] = [
  ['idle', 0, null],
  ['disposed', 0, null],
  ['disposed in a step', 0, null],
  ['exit in a step', 0, null],
  ['thrown in a step', 1, null],
  ['terminated in a step', null, 'SIGTERM'],
  ['collected', 0, null],
];

/** Runs a process to its end: its exit code, its signal and what it said. */
async function ended(name: string, env: Record<string, string> = {}) {
  const script = fileURLToPath(new URL('../../../test/support/webgpu-ending.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', script, name], {
    env: { ...process.env, DROPSTREAM_GPU: testAdapter, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data));
  const [code, signal] = await once(child, 'close');
  assert.match(said, /^ending$/m);
  return { code, signal, said };
}

for (const [name, code, signal] of endings) {
  test(`a process ends by itself: ${name}`, { skip: noWebgpu, timeout: 120_000 }, async () => {
    const end = await ended(name);
    assert.deepEqual([end.code, end.signal], [code, signal], end.said);
  });
}

const faults: readonly [kind: string, message: RegExp, signal: NodeJS.Signals | null][] = [
  ['lost', /^failed: DeviceFailed: the GPU .+ was lost \(destroyed\)/m, null],
  ['ended', /^failed: DeviceFailed: the thread of the GPU has ended$/m, null],
  // Node would wait for the thread of a driver that hangs, so the process ends itself.
  ['hangs', /^failed: DeviceFailed: the GPU did not answer for 5 s .*may hang$/m, 'SIGKILL'],
];

for (const [kind, message, signal] of faults) {
  test(`a device that fails (${kind}) fails its step with the reason, and another program works`, {
    skip: noWebgpu,
    timeout: 120_000,
  }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'webgpu-fault-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const once = join(folder, 'once');
    writeFileSync(once, '');
    const end = await ended('the device fails in a step', { WEBGPU_FAULT: `${kind} 20 ${once}`, DROPSTREAM_GPU_TIMEOUT: '5' });
    assert.match(end.said, message);
    assert.match(end.said, /^again: (?!.*undefined)./m);
    assert.match(end.said, /^another program works$/m);
    assert.deepEqual([end.code, end.signal], signal === null ? [0, null] : [null, signal], end.said);
  });
}
