/** What is damaged leaves a run a checkpoint to resume from: one that its log has, and that is whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { saveCheckpoint } from '#storage/checkpoint.js';
import { freshDirectoryStore } from '../support/fresh-store.js';
import { Damage } from './damage.js';

test('only the newest of several whole checkpoints in the log is damaged, and not one that a former owner left', async () => {
  const { store } = await freshDirectoryStore();
  const run = { name: 'projects/p/runs/r', uid: 'a'.repeat(32) };
  const prefix = `${run.name}/${run.uid}/checkpoints`;
  const tensor = { name: 'w', dtype: 'F32' as const, shape: [2], data: new Float32Array([1, 2]) };
  const rest = { epoch: 1, logSequence: 3, fingerprint: 'f', epochAccumulators: null, best: null };
  const save = async (step: number) => {
    const { id, manifest } = await saveCheckpoint(store, prefix, { ...rest, step, weights: [tensor] });
    return { name: `${run.name}/checkpoints/${id}`, step, part: manifest.parts[0]!.key };
  };
  const [first, left, last] = [await save(4), await save(6), await save(8)];
  const damage = new Damage();
  const newest = async (...checkpoints: { name: string; step: number }[]) =>
    (await damage.newestOfSeveral(store, { ...run, checkpoints }))?.key;
  assert.equal(await newest(last), undefined, 'the log has one, although the store has three');
  assert.equal(await newest(first), undefined);
  assert.equal(await newest(first, last), last.part);
  assert.equal(await newest(first, left), left.part);
  assert.deepEqual(await damage.committed(store, run), new Set([first, left, last].map(({ name }) => name)));

  assert.match(
    (await damage.alter(store, (await damage.newestOfSeveral(store, { ...run, checkpoints: [first, last] }))!, 0.5))!,
    /wrong byte/,
  );
  assert.deepEqual([...damage.checkpoints], [last.name]);
  assert.equal(await newest(first, last), undefined, 'one of the two is damaged');
  assert.equal(await newest(first, left, last), left.part);
});
