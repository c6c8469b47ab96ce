import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropCutoff } from '#protocol/dropstream/v1/schedule_types.js';
import { CreatedRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { silentLogger } from '#telemetry/logger.js';
import { freshDirectoryStore } from '../../../test/support/fresh-store.js';
import type { EvaluatorClient } from '../peers.js';
import { openRunLog, runName } from '../run/run-log.js';
import { EvaluatorHere } from './evaluator-here.js';

const { store } = await freshDirectoryStore();
const { signal } = new AbortController();
const logger = silentLogger();
const entry = { project: 'p', id: 'r', uid: 'u'.repeat(32) };

const viewOf = (cutoff: DropCutoff, cutoffEpoch: number) => ({
  run: Run.fromPartial({
    ...{ name: runName('p', 'r'), uid: entry.uid, stepsPerEpoch: 5n },
    spec: { cutoff, cutoffEpoch, cutoffEvery: 2 },
  }),
});

test('a run that must still be measured is left to workers with an evaluator, and says so', async () => {
  const adaptive = viewOf(DropCutoff.ADAPTIVE, 8);
  const value = CreatedRecord.fromPartial({ state: RunState.QUEUED, run: adaptive.run });
  await openRunLog(store, entry).append((view) => (view ? undefined : { body: { $case: 'created', value } }));
  const without = new EvaluatorHere({ store, logger, evaluator: undefined });
  const messageOf = async () => (await openRunLog(store, entry).refresh(signal))?.run.statusMessage;
  const ended = { measuredStep: 10, notHelping: 2, ends: true };
  const last = { measuredStep: 30, notHelping: 1, ends: false };
  for (const view of [viewOf(DropCutoff.FIXED, 8), { ...adaptive, cutoff: ended }, { ...adaptive, cutoff: last }])
    assert.equal(await without.allow(entry, view, signal), true);
  assert.equal(await messageOf(), '');
  assert.equal(without.suffices(adaptive), false);
  assert.equal(await without.allow(entry, adaptive, signal), false);
  assert.match((await messageOf())!, /^waits for a worker that was started with --evaluator/);
  const having = new EvaluatorHere({ store, logger, evaluator: {} as EvaluatorClient });
  assert.ok(having.suffices(adaptive));
  assert.equal(await having.allow(entry, adaptive, signal), true);
});
