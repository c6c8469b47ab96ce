/** The load test itself, with little of everything: what it says of healthy services. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sourceFlags } from '../support/processes.js';
import type { Times } from './answers.js';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

test('a small load is answered completely, and every part says so', async () => {
  const sizes = { schedules: 150, runs: 6, watchers: 12, clients: 4, seconds: 2, 'batch-size': 4 };
  const options = Object.entries(sizes).flatMap(([name, size]) => [`--${name}`, String(size)]);
  // ghz would be built from source on a machine that does not have it.
  const argv = [...sourceFlags, main, '--parts', 'schedules,runs,watchers,data', ...options];
  const { stdout } = await promisify(execFile)(process.execPath, argv, {
    env: { ...process.env, NODE_TEST_CONTEXT: '' },
    timeout: 300_000,
  });
  const results = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, Record<string, Times>> & { problems: string[] };
  assert.deepEqual(results.problems, []);
  assert.equal(results.schedules!.CreateSchedule!.calls, sizes.schedules);
  assert.equal(results.schedules!.ListSchedules!.calls, 2);
  assert.equal(results.runs!.CreateRun!.calls, sizes.runs);
  assert.equal(results.watchers!['first event']!.calls, sizes.watchers);
  assert.equal(results.besideOthers!.CancelRun!.calls, sizes.runs);
  for (const kind of ['fast', 'slow']) assert.ok(results.data![`batch of a ${kind} client`]!.calls >= 2, kind);
});
