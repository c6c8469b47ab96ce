/** A real libtensorflow and the native kernels train alike: another implementation of every operation, written by others. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { assertChecks, type Check, largestDifference, relative } from '../support/checks.js';
import { withoutExecutor } from '../support/executors.js';
import { norm } from '../support/golden-model.js';
import { sourceFlags } from '../support/processes.js';
import { type FiftySteps, steps } from './fifty-steps.js';

const TOLERANCE = 1e-3;
const program = fileURLToPath(new URL('./fifty-steps.ts', import.meta.url));

/** In a child process: a bad shape kills the one that TensorFlow lives in. */
async function fiftySteps(executor: string): Promise<FiftySteps> {
  const env = { ...process.env, NODE_TEST_CONTEXT: '', TF_CPP_MIN_LOG_LEVEL: '2' };
  const { stdout } = await promisify(execFile)(process.execPath, [...sourceFlags, program, executor], {
    env,
    timeout: 240_000,
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as FiftySteps;
}

function floats(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** ‖actual − expected‖ over ‖expected − start‖: how far off, over how far the training went. */
function wayCheck(what: string, actual: string, expected: string, start: string): Check {
  const [a, b, from] = [floats(actual), floats(expected), floats(start)];
  assert.ok(b.length > 10_000 && a.length === b.length && from.length === b.length, `${what}: ${a.length} of ${b.length} values`);
  const way = norm(b.map((value, i) => value - from[i]!));
  return { what, error: norm(b.map((value, i) => value - a[i]!)) / way, tolerance: TOLERANCE, note: `way ${way}` };
}

test(`${steps} steps of a reduced ViT on tensorflow agree with native fp32 within ${TOLERANCE}`, {
  skip: withoutExecutor('tfjs-tensorflow') || withoutExecutor('native'),
  timeout: 300_000,
}, async (t) => {
  const native = await fiftySteps('native');
  const tensorflow = await fiftySteps('tfjs-tensorflow');
  assert.deepEqual([native.executor, tensorflow.executor, tensorflow.kernelPath], ['native', 'tfjs', 'tensorflow']);
  assert.equal(native.losses.length, steps);
  assert.equal(tensorflow.start, native.start);
  assert.ok(native.losses.at(-1)! < 0.8 * native.losses[0]!, 'the training learns');
  const checks = [
    largestDifference('loss', tensorflow.losses, native.losses, TOLERANCE),
    ...tensorflow.gradNorms.map((value, step) => relative(`gradient norm of step ${step}`, value, native.gradNorms[step]!, TOLERANCE)),
    wayCheck('weights', tensorflow.weights, native.weights, native.start),
    wayCheck('EMA', tensorflow.ema, native.ema, native.start),
  ];
  for (const { what, error } of checks.filter(({ what }) => !what.startsWith('gradient')))
    t.diagnostic(`${what}: ${error.toExponential(1)}`);
  assertChecks(checks);
});
