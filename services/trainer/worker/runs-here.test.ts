/** Runs that this process could not claim are no reason for it to give a run back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExecutorUnavailable } from '#engine/index.js';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff, DropMode } from '#protocol/dropstream/v1/schedule_types.js';
import { CreatedRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { silentLogger } from '#telemetry/logger.js';
import { freshDirectoryStore } from '../../../test/support/fresh-store.js';
import { notedStore } from '../../../test/support/noted-store.js';
import type { EvaluatorClient } from '../peers.js';
import { modelCatalog } from '../run/model-catalog.js';
import { openRunLog, runName } from '../run/run-log.js';
import { resolveRunSpec } from '../run/run-spec.js';
import { WantedHere } from './group/wanted-here.js';
import type { RunPrograms } from './run-program.js';
import { RunsHere } from './runs-here.js';

const fresh = await freshDirectoryStore();
const { store, calls } = notedStore(fresh.store);
const { signal } = new AbortController();
let runs = 0;

/** A run that waits for a worker. */
async function queued(part: Partial<RunSpec>) {
  const asked = { model: 'vit_nano_p7', trainManifest: 'a'.repeat(64), epochs: 10, warmupEpochs: 1, engine: Engine.NATIVE, ...part };
  const spec = resolveRunSpec(RunSpec.fromPartial(asked), modelCatalog, { samples: 1000, classes: ['cat', 'dog'] });
  const id = `r${++runs}`;
  const entry = { project: 'p', id, uid: String(runs).padStart(32, '0') };
  const run = Run.fromPartial({ name: runName('p', id), uid: entry.uid, stepsPerEpoch: 5n, spec });
  const value = CreatedRecord.fromPartial({ state: RunState.QUEUED, run });
  await openRunLog(store, entry).append((view) => (view ? undefined : { body: { $case: 'created', value } }));
  return entry;
}

/** A process without Gloo, an evaluator and a GPU, or with all of them. */
function processWith(all: boolean) {
  let left = 0;
  const onLeft = { engine: () => void left++, numerics: () => void left++ };
  const fingerprint = async () => {
    if (!all) throw new ExecutorUnavailable('webgpu', 'no GPU');
    return { executor: 'webgpu' };
  };
  const here = new RunsHere({
    ...{ store, logger: silentLogger(), onLeft },
    programs: { fingerprint } as unknown as RunPrograms,
    evaluator: all ? ({} as EvaluatorClient) : undefined,
    available: () => (all ? { available: true, version: '1' } : { available: false, reason: 'no Gloo' }),
  });
  const wanted = new WantedHere({ store, could: (view, looking) => here.could(view, looking) });
  return { wanted, here, left: () => left };
}

test('a run waits for this process only if it has what the run needs, and to find that out writes nothing', async () => {
  const adaptive = await queued({
    ...{ dropMode: DropMode.EARLY, dropout: 0.1, cutoff: DropCutoff.ADAPTIVE },
    cutoffEpoch: 8,
    cutoffEvery: 2,
  });
  const wide = await queued({ workers: { min: 2, max: 2 } });
  const onGpu = await queued({ engine: Engine.WEBGPU });
  const plain = await queued({});
  const either = await queued({ engine: Engine.AUTO });
  const { wanted: without, here, left } = processWith(false);
  const { wanted: having } = processWith(true);
  calls.length = 0;
  for (const entry of [adaptive, wide, onGpu]) {
    assert.equal(await without.of(entry, signal), 'none');
    assert.equal(await having.of(entry, signal), 'claim');
  }
  for (const entry of [plain, either]) assert.equal(await without.of(entry, signal), 'claim');
  assert.deepEqual([calls.filter((call) => /^(put|delete)/.test(call)), left()], [[], 0]);
  // What was found out so does not keep the look before a claim from telling it.
  const view = (await openRunLog(store, onGpu).refresh(signal))!;
  for (let look = 0; look < 2; look++) assert.equal(await here.allow(onGpu, view, signal), false);
  assert.equal(left(), 1);
});

test('a log that was read once is read from there on', async () => {
  const entry = await queued({});
  const { wanted } = processWith(true);
  await wanted.of(entry, signal);
  calls.length = 0;
  assert.equal(await wanted.of(entry, signal), 'claim');
  assert.deepEqual(
    calls.filter((call) => call.startsWith('get')),
    [],
  );
});
