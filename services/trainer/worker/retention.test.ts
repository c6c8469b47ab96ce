import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Run, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { listCheckpoints, saveCheckpoint } from '#storage/checkpoint.js';
import { checkpointsOf } from '#work/checkpoint-keys.js';
import { freshDirectoryStore } from '../../../test/support/fresh-store.js';
import { applyEvent, type RunView } from '../run/run-state.js';
import { deleteOldCheckpoints } from './retention.js';

type Body = NonNullable<RunEvent['event']>;
const name = 'projects/p/runs/r';
const uid = '0123456789abcdef0123456789abcdef';
const folder = checkpointsOf(name, uid);

interface Case {
  readonly keep: number;
  /** Steps that a checkpoint is saved at. */
  readonly saved: readonly number[];
  /** Those that an attempt could not load. */
  readonly damaged?: readonly number[];
  /** Those that a later attempt loaded. */
  readonly loaded?: readonly number[];
  /** Those that it saved after that. */
  readonly savedLater?: readonly number[];
  /** Those that are gone. */
  readonly gone?: readonly number[];
}

/** The steps of the checkpoints that are left. */
async function leftOf({ keep, saved, damaged = [], loaded = [], savedLater = [], gone = [] }: Case): Promise<number[]> {
  const { store } = await freshDirectoryStore();
  const names = new Map<number, string>();
  for (const step of [...saved, ...savedLater]) {
    const state = { step, epoch: 0, logSequence: 1, fingerprint: 'f', epochAccumulators: {}, best: null, metadata: {} };
    const weights = [{ name: 'w', dtype: 'F32', shape: [1], data: Float32Array.of(step) }] as const;
    const { id, manifestKey } = await saveCheckpoint(store, folder, { ...state, weights });
    names.set(step, `${name}/checkpoints/${id}`);
    if (gone.includes(step)) await store.delete(manifestKey);
  }
  const committed = (step: number): Body => {
    return { $case: 'checkpoint', value: { checkpoint: names.get(step)!, step: BigInt(step), sizeBytes: 1n, seconds: 0 } };
  };
  const bodies: Body[] = [
    { $case: 'created', value: { run: Run.fromPartial({ name, uid, totalSteps: 100n, stepsPerEpoch: 100n }) } as never },
    ...saved.map(committed),
    ...damaged.map((step): Body => ({ $case: 'checkpointSkipped', value: { checkpoint: names.get(step)!, reason: 'a test' } })),
    ...loaded.map((step): Body => {
      return { $case: 'resumed', value: { fromStep: BigInt(step), attempt: 2, checkpoint: names.get(step)!, fingerprintChanged: false } };
    }),
    ...savedLater.map(committed),
  ];
  let view: RunView | undefined;
  for (const [k, event] of bodies.entries())
    view = applyEvent(view, RunEvent.fromPartial({ sequence: BigInt(k + 1), event: event as never }), name);
  await deleteOldCheckpoints(store, { view: view!, keep, evaluates: false, signal: AbortSignal.timeout(60_000) });
  return (await listCheckpoints(store, folder)).map(({ step }) => step);
}

const cases: Record<string, Case & { readonly left: readonly number[] }> = {
  'the newest checkpoints are kept': { keep: 2, saved: [10, 20, 30], left: [30, 20] },
  'a damaged one does not take the place of a whole one': { keep: 2, saved: [10, 20, 30], damaged: [20], left: [30, 10] },
  'with a single one to keep, damage of the newest leaves the one before it': { keep: 1, saved: [10, 20], damaged: [20], left: [10] },
  'nothing goes while there are no more than are kept': { keep: 3, saved: [10, 20, 30], damaged: [10, 20, 30], left: [30, 20, 10] },
  'one that an attempt loaded after all counts again': { keep: 2, saved: [5, 10, 20], damaged: [20], loaded: [20], left: [20, 10] },
  'one that is gone, which an attempt passed by, does not take the place of one that is there': {
    ...{ keep: 2, saved: [10, 20, 30, 40], gone: [20], damaged: [40, 30], loaded: [10], savedLater: [12], left: [12, 10] },
  },
};
for (const [what, { left, ...given }] of Object.entries(cases)) test(what, async () => assert.deepEqual(await leftOf(given), left));
