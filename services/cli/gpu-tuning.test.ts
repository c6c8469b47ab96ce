/** `dropstream tune` and what `doctor` says of it, as users run them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { withoutExecutor } from '../../test/support/executors.js';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { commandLineEntry, nodeOptions } from './service-entry.js';

const skip = withoutExecutor('webgpu');
const folder = mkdtempSync(join(tmpdir(), 'gpu-tuning-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const tiny = ['--model', 'vit_nano_p7', '--batch', '8'];

function start(file: string, ...argv: string[]) {
  const child: ChildProcess = spawn(process.execPath, [...nodeOptions(), commandLineEntry, ...argv], {
    env: { ...process.env, DROPSTREAM_GPU_TUNING: file },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout!.on('data', (data) => (out += data));
  const errors = createInterface({ input: child.stderr! });
  errors.on('line', (line) => (err += `${line}\n`));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }));
  return { child, errors, ended };
}

const run = (file: string, ...argv: string[]) => start(file, ...argv).ended;

test('tune prints a table and keeps the choice for the user; doctor says so; Ctrl-C changes nothing', {
  skip,
  timeout: 300_000,
}, async () => {
  const file = join(folder, 'cache', 'gpu-tuning.json');
  const state = async () => {
    const checks = JSON.parse((await run(file, 'doctor', '--json')).out) as { name: string; detail: string }[];
    return checks.find(({ name }) => name === 'engine webgpu')!.detail;
  };
  assert.match(await state(), /was not tuned \(dropstream tune\)$/);

  const printed = await run(file, 'tune', ...tiny, '--precision', 'fp32');
  assert.equal(printed.code, 0, printed.err);
  const [titles, ...rows] = printed.out.trim().split('\n');
  assert.match(titles!, /^PRODUCT +PRECISION +TILE +GFLOP\/S +DEFAULT +OF DEFAULT$/);
  assert.deepEqual(
    rows.map((row) => row.split(/ +/).slice(0, 2)),
    ['linear', 'linear_input_grad', 'linear_weight_grad'].map((product) => [product, 'fp32']),
  );
  assert.match(printed.err, /computes on the CPU: these figures say nothing about a GPU/);
  assert.ok(printed.err.includes(file));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.match(await state(), /was tuned on \d{4}-\d\d-\d\d$/);

  const { code, out } = await run(file, 'tune', ...tiny, '--json');
  assert.equal(code, 0);
  const result = JSON.parse(out) as { file: string; products: { tile: string; tiles: object[] }[] };
  assert.deepEqual([result.file, result.products.length], [file, 6]);
  const stored = readFileSync(file, 'utf8');

  const tuning = start(file, 'tune', ...tiny);
  for await (const [line] of on(tuning.errors, 'line', { signal: AbortSignal.timeout(120_000) })) {
    if (/ of the default$/.test(line)) break;
  }
  tuning.child.kill('SIGINT');
  const interrupted = await tuning.ended;
  assert.equal(interrupted.code, 130, interrupted.err);
  assert.match(interrupted.err, /interrupted; what was chosen before still holds/);
  assert.equal(readFileSync(file, 'utf8'), stored);

  assert.equal((await run(file, 'tune', '--forget')).code, 0);
  assert.match(await state(), /was not tuned/);
});

test('a file that is not its own is left alone', { skip, timeout: 60_000 }, async () => {
  const file = join(folder, 'thesis.json');
  writeFileSync(file, '{"title": "On tiles"}');
  for (const argv of [tiny, ['--forget']]) {
    const { code, err } = await run(file, 'tune', ...argv);
    assert.equal(code, 1, err);
    assert.match(err, /thesis\.json is no file of tuned tiles that this version can read: it has no format/);
  }
  assert.equal(readFileSync(file, 'utf8'), '{"title": "On tiles"}');
});

test('a wrong option is refused with what is allowed', async () => {
  for (const [argv, reason] of [
    [['--engine', 'native'], /--engine is "native", must be webgpu; other engines have nothing to tune/],
    [['--model', 'abacus'], /--model is "abacus", must be vit_tiny, /],
    [['--model', 'vit_tiny', '--input-size', '30'], /--input-size is "30", must be for vit_tiny: multiples of 16/],
    [['--precision', 'fp16'], /--precision is "fp16", must be fp32 or bf16/],
    [['--batch', '0'], /--batch is "0", must be a whole number from 1 to 65536/],
  ] as const) {
    const { code, err } = await runCommandLine(['tune', ...argv], { cwd: folder });
    assert.equal(code, 2, err);
    assert.match(err, reason);
  }
});
