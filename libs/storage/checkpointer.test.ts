import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { listCheckpoints, loadCheckpoint, type SavedCheckpoint } from './checkpoint.js';
import { Checkpointer, type StagedSnapshot, StagingTooSmall } from './checkpointer.js';
import { type ObjectStore, StoreUnavailable } from './object-store.js';

const PREFIX = 'projects/p/runs/r/checkpoints';
const snapshot = (step: number, fill: StagedSnapshot['fill'] = filledWith(step)): StagedSnapshot => ({
  step,
  epoch: 0,
  logSequence: step,
  fingerprint: 'f',
  epochAccumulators: null,
  best: null,
  sizeBytes: 4000,
  fill,
});

function filledWith(value: number): StagedSnapshot['fill'] {
  return async (staging) => {
    await new Promise((resolve) => setImmediate(resolve));
    return { weights: [{ name: 'w', dtype: 'F32', shape: [1000], data: new Float32Array(staging).fill(value) }] };
  };
}

/** Unlike AbortSignal.timeout, its timer keeps the process alive, which nothing else does while a put is held. */
function soon(): AbortSignal {
  const ending = new AbortController();
  setTimeout(() => ending.abort(new Error('long enough')), 20);
  return ending.signal;
}

/** A store that holds puts until the test releases them. */
async function heldStore() {
  const { store } = await freshDirectoryStore();
  let letGo = () => {};
  let held = Promise.resolve();
  let running = 0;
  let most = 0;
  const hold = () => {
    held = new Promise((resolve) => {
      letGo = resolve;
    });
  };
  const wrapped: ObjectStore = Object.create(store, {
    put: {
      value: async (...args: Parameters<ObjectStore['put']>) => {
        most = Math.max(most, ++running);
        await Promise.race([
          held,
          new Promise((_, reject) => args[2]?.signal?.addEventListener('abort', () => reject(args[2]?.signal?.reason))),
        ]);
        running--;
        return store.put(...args);
      },
    },
  });
  return { store, wrapped, hold, letGo: () => letGo(), most: () => most };
}

test('training goes on over the staged copy: each save is of its own snapshot, and the next one is staged only after it', async () => {
  const { store, wrapped, hold, letGo, most } = await heldStore();
  const committed: SavedCheckpoint[] = [];
  const checkpointer = new Checkpointer({
    store: wrapped,
    prefix: PREFIX,
    onCommitted: async (saved) => void committed.push(saved),
    onFailed: assert.fail,
  });
  hold();
  await checkpointer.stage(snapshot(1));
  assert.equal(checkpointer.status.inFlightStep, 1);
  assert.equal(checkpointer.status.totalBytes, 4000);
  let secondStaged = false;
  const second = checkpointer.stage(snapshot(2)).then(() => {
    secondStaged = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(secondStaged, false, 'one in flight');
  letGo();
  await second;
  await checkpointer.drain();
  assert.deepEqual(
    committed.map(({ step }) => step),
    [1, 2],
  );
  for (const { manifestKey, step } of committed) {
    const { tensors } = await loadCheckpoint(store, manifestKey);
    assert.ok((tensors.weights![0]!.data as Float32Array).every((value) => value === step));
  }
  assert.equal(most(), 1);
  assert.deepEqual(
    { ...checkpointer.status, savedBytes: 0 },
    { inFlightStep: undefined, savedBytes: 0, totalBytes: 4000, committed: 2, failed: 0, lastError: undefined },
  );
  await checkpointer.close();
});

test('a failed save is reported and shown in the status, and the next one is tried', async () => {
  const { store } = await freshDirectoryStore();
  let failing = true;
  const unreliable: ObjectStore = Object.create(store, {
    put: {
      value: async (...args: Parameters<ObjectStore['put']>) => {
        if (failing) throw new StoreUnavailable('down', true);
        return store.put(...args);
      },
    },
  });
  const failed: number[] = [];
  const checkpointer = new Checkpointer({
    store: unreliable,
    prefix: PREFIX,
    onCommitted: async () => {},
    onFailed: (step) => failed.push(step),
    storePatienceMs: 0,
  });
  await checkpointer.stage(snapshot(1));
  await checkpointer.drain();
  assert.deepEqual(failed, [1]);
  assert.ok(checkpointer.status.lastError instanceof StoreUnavailable);
  failing = false;
  await checkpointer.stage(snapshot(2));
  await checkpointer.drain();
  assert.deepEqual(
    (await listCheckpoints(store, PREFIX)).map(({ step }) => step),
    [2],
  );
  await checkpointer.close();
});

/** A store that carries out a put of each key only at the second try, and loses the reply of that. */
async function forgetfulStore() {
  const { store } = await freshDirectoryStore();
  const tries = new Map<string, number>();
  const forgetful: ObjectStore = Object.create(store, {
    put: {
      value: async (...[key, ...rest]: Parameters<ObjectStore['put']>) => {
        const number = (tries.get(key) ?? 0) + 1;
        tries.set(key, number);
        if (number === 1) throw new StoreUnavailable('busy', true);
        const done = await store.put(key, ...rest);
        if (number === 2) throw new StoreUnavailable('the reply is lost', true);
        return done;
      },
    },
  });
  return { store, forgetful, tries };
}

test('a store that is away for a moment costs no checkpoint, and every write of it is repeated by itself', async () => {
  const { store, forgetful, tries } = await forgetfulStore();
  const committed: SavedCheckpoint[] = [];
  const onCommitted = async (saved: SavedCheckpoint): Promise<void> => void committed.push(saved);
  const checkpointer = new Checkpointer({ store: forgetful, prefix: PREFIX, onCommitted, onFailed: assert.fail });
  await checkpointer.stage(snapshot(1));
  await checkpointer.drain();
  assert.equal(committed.length, 1);
  const [{ manifestKey, manifest }] = committed as [SavedCheckpoint];
  const keys = [manifestKey, ...manifest.parts.map(({ key }) => key)].sort();
  assert.deepEqual((await store.list('')).objects.map(({ key }) => key).sort(), keys);
  assert.deepEqual([...tries.keys()].sort(), keys);
  assert.deepEqual([...(await loadCheckpoint(store, manifestKey)).tensors.weights![0]!.data.subarray(0, 2)], [1, 1]);
  await checkpointer.close();
});

test('a save in a hurry does not wait for the store', async () => {
  const { forgetful, tries } = await forgetfulStore();
  const failed: unknown[] = [];
  const checkpointer = new Checkpointer({
    store: forgetful,
    prefix: PREFIX,
    onCommitted: assert.fail,
    onFailed: (_, error) => failed.push(error),
    hurry: AbortSignal.abort(),
  });
  await checkpointer.stage(snapshot(1));
  await checkpointer.drain();
  assert.match(String(failed), /busy/);
  assert.deepEqual([...tries.values()], [1]);
  await checkpointer.close();
});

test('a copy that fails or is aborted saves nothing, and the next one is staged as if it had not been', async () => {
  const { store } = await freshDirectoryStore();
  const checkpointer = new Checkpointer({ store, prefix: PREFIX, onCommitted: async () => {}, onFailed: assert.fail });
  const broken = snapshot(1, async () => {
    throw new Error('the engine is gone');
  });
  await assert.rejects(checkpointer.stage(broken), /the engine is gone/);
  const ending = new AbortController();
  const aborted = snapshot(2, async (staging) => {
    ending.abort(new Error('the claim is lost'));
    return filledWith(2)(staging);
  });
  await assert.rejects(checkpointer.stage(aborted, { signal: ending.signal }), /the claim is lost/);
  await checkpointer.stage(snapshot(3));
  await checkpointer.drain();
  await checkpointer.close();
  assert.deepEqual(
    (await listCheckpoints(store, PREFIX)).map(({ step }) => step),
    [3],
  );
});

test('a log record that cannot be appended is a failed save', async () => {
  const { store } = await freshDirectoryStore();
  const failed: unknown[] = [];
  const checkpointer = new Checkpointer({
    store,
    prefix: PREFIX,
    onCommitted: async () => {
      throw new Error('fence lost');
    },
    onFailed: (_, error) => failed.push(error),
  });
  await checkpointer.stage(snapshot(1));
  await checkpointer.drain();
  assert.match(String(failed[0]), /fence lost/);
  assert.equal(checkpointer.status.committed, 0);
});

test('waiting ends with the caller signal; closing ends a save under way, which stays invisible', async () => {
  const { store, wrapped, hold } = await heldStore();
  const failed: number[] = [];
  const checkpointer = new Checkpointer({
    store: wrapped,
    prefix: PREFIX,
    onCommitted: async () => {},
    onFailed: (step) => failed.push(step),
  });
  hold();
  await checkpointer.stage(snapshot(1));
  await assert.rejects(checkpointer.stage(snapshot(2), { signal: soon() }), /long enough/);
  await assert.rejects(checkpointer.drain({ signal: soon() }), /long enough/);
  await checkpointer.close();
  assert.deepEqual(failed, [1]);
  assert.deepEqual(await listCheckpoints(store, PREFIX), []);
  await assert.rejects(checkpointer.stage(snapshot(3)), /closed/);
});

test('staging is bounded', async () => {
  const { store } = await freshDirectoryStore();
  const checkpointer = new Checkpointer({
    store,
    prefix: PREFIX,
    maxStagingBytes: 3999,
    onCommitted: async () => {},
    onFailed: assert.fail,
  });
  await assert.rejects(checkpointer.stage(snapshot(1)), (error) => error instanceof StagingTooSmall && error.neededBytes === 4000);
  await checkpointer.close();
});

test('a second snapshot is refused while one is being copied, so that no step gets tensors of another', async () => {
  const { store } = await freshDirectoryStore();
  const committed: number[] = [];
  const checkpointer = new Checkpointer({
    store,
    prefix: PREFIX,
    onCommitted: async ({ manifest }: SavedCheckpoint) => void committed.push(manifest.step),
    onFailed: (error) => assert.fail(String(error)),
  });
  const first = checkpointer.stage(snapshot(1));
  await assert.rejects(checkpointer.stage(snapshot(2)), /while another one is/);
  await first;
  await checkpointer.drain();
  await checkpointer.close();
  assert.deepEqual(committed, [1]);
});
