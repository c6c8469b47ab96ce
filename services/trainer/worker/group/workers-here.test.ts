import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CreatedRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { silentLogger } from '#telemetry/logger.js';
import { freshDirectoryStore } from '../../../../test/support/fresh-store.js';
import { openRunLog, runName } from '../../run/run-log.js';
import { WorkersHere } from './workers-here.js';

const { store } = await freshDirectoryStore();
const { signal } = new AbortController();
const logger = silentLogger();
const entry = { project: 'p', id: 'r', uid: 'u'.repeat(32) };

const viewOf = (workers: { min: number; max: number } | undefined) => ({
  run: Run.fromPartial({ name: runName('p', 'r'), uid: entry.uid, spec: { workers } }),
});

test('a run that needs several workers is left to workers that can exchange gradients, and says so', async () => {
  const value = CreatedRecord.fromPartial({ state: RunState.QUEUED, run: viewOf({ min: 2, max: 4 }).run });
  await openRunLog(store, entry).append((view) => (view ? undefined : { body: { $case: 'created', value } }));
  const without = new WorkersHere({ store, logger, available: () => ({ available: false, reason: 'no Gloo' }) });
  const messageOf = async () => (await openRunLog(store, entry).refresh(signal))?.run.statusMessage;
  assert.equal(await without.allow(entry, viewOf({ min: 1, max: 4 }), signal), true);
  assert.equal(await without.allow(entry, viewOf({ min: 0, max: 0 }), signal), true);
  assert.equal(await without.allow(entry, viewOf(undefined), signal), true);
  assert.equal(await messageOf(), '');
  assert.equal(await without.allow(entry, viewOf({ min: 2, max: 4 }), signal), false);
  assert.equal(await without.allow(entry, viewOf({ min: 2, max: 0 }), signal), false);
  assert.match((await messageOf())!, /^waits for a worker that has Gloo: it needs at least 2 /);
  const having = new WorkersHere({ store, logger, available: () => ({ available: true, version: '1' }) });
  assert.equal(await having.allow(entry, viewOf({ min: 2, max: 4 }), signal), true);
});
