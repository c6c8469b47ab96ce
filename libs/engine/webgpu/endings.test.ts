/** What a program on WebGPU does where there is no GPU, and how a process with one ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { webgpuEnding } from '../../../test/support/webgpu-endings.js';
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
  ['exit while it is created', 0, null],
  ['exit in a step', 0, null],
  ['thrown in a step', 1, null],
  ['terminated in a step', null, 'SIGTERM'],
  ['collected', 0, null],
];

for (const [name, code, signal] of endings) {
  test(`a process ends by itself: ${name}`, { skip: noWebgpu, timeout: 120_000 }, async () => {
    const end = await webgpuEnding(name);
    assert.deepEqual([end.code, end.signal], [code, signal], end.said);
  });
}
