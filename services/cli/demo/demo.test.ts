import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { demoResult, startDemo } from '../../../test/support/demo-process.js';
import { readUpState } from '../addresses.js';
import { demoSpec } from './demo-spec.js';

/** Admin addresses as the demo prints them. */
const adminsOf = (lines: readonly string[]) => lines.flatMap((line) => /curl (http:\/\/127\.0\.0\.1:\d+)\/metrics/.exec(line)?.[1] ?? []);

test('the quick demo trains, evaluates, reports and stops everything', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'dropstream-demo-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  const report = join(home, 'report.html');
  const demo = startDemo(home, '--quick', '--synthetic', '--report', report, '--json');
  const [code] = await demo.exit;
  const output = demo.lines.join('\n');
  assert.equal(code, 0, output);
  const result = demoResult(demo.lines);
  assert.ok(result.top1 > 80, `stripes are easy: ${result.top1}`);
  assert.ok(output.includes(`top-1 ${result.top1.toFixed(2)} %`) && output.includes('by the evaluator on 400 test images'));
  for (const phase of ['1. Images', '2. Services', '3. Training', '4. Result', 'every seventh image is a test image', 'Try next:'])
    assert.ok(output.includes(phase), phase);
  const page = await readFile(report, 'utf8');
  assert.ok(page.includes(`${result.top1.toFixed(2)} %`) && page.includes('upright, 3.5 px'));
  assert.equal(page.match(/data:image\/png/g)?.length, 30);
  assert.equal(adminsOf(demo.lines).length, 4);
  for (const admin of adminsOf(demo.lines)) await assert.rejects(fetch(`${admin}/livez`));
  assert.equal(readUpState(join(home, 'demo')), undefined);
});

test('Ctrl-C ends the demo with 130 and leaves no service behind', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'dropstream-demo-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  const demo = startDemo(home, '--synthetic', '--quick', '--epochs', '500');
  for (const end = performance.now() + 60_000; !demo.lines.some((line) => line.includes('epochs of')); await delay(50)) {
    assert.ok(performance.now() < end && demo.child.exitCode === null, demo.lines.join('\n'));
  }
  demo.child.kill('SIGINT');
  const [code] = await demo.exit;
  assert.equal(code, 130, demo.lines.join('\n'));
  assert.match(demo.lines.join('\n'), /interrupted; the services were stopped/);
  for (const admin of adminsOf(demo.lines)) await assert.rejects(fetch(`${admin}/livez`));
  assert.ok(!existsSync(join(home, 'demo', 'up.json')));
});

test('the spec warms up for a tenth and drops for half of the training', () => {
  const spec = demoSpec({ epochs: 6, samples: 60_000, trainManifest: 'a', evalManifest: 'b', holdoutStride: 0 });
  assert.deepEqual([spec.warmupSteps, spec.cutoffEpoch, spec.dropMode, spec.dropSchedule], [562n, 3, DropMode.EARLY, DropSchedule.LINEAR]);
  const single = demoSpec({ epochs: 1, samples: 100, trainManifest: 'a', evalManifest: '', holdoutStride: 10 });
  assert.deepEqual([single.warmupSteps, single.cutoffEpoch], [1n, 1]);
});
