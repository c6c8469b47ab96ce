import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Hint, HintKind, Hints } from '#work/queue-hints.js';
import { Shortage } from './shortage.js';

const hint = (id: string, sinceMs: number, priority = 0): Hint => ({ project: 'p', id, uid: id, sinceMs, priority, key: id });
const [first, second, urgent] = [hint('first', 1), hint('second', 2), hint('urgent', 3, 9)];
const { signal } = new AbortController();

/** @param wanted what runs want by their logs, by id, where that is not what their hints say */
function shortageOf(waiting: Partial<Hints>, wanted: Readonly<Record<string, HintKind | 'none' | 'damaged'>> = {}) {
  const time = { ms: 0 };
  const wantedOf = async ({ id }: { readonly id: string }): Promise<HintKind | 'none'> => {
    const known = wanted[id];
    if (known === 'damaged') throw new Error('its log is damaged');
    return known ?? (waiting.needs?.some((one) => one.id === id) ? 'need' : 'claim');
  };
  const hints = { list: async () => ({ claims: [], joins: [], needs: [], mark: '', ...waiting }) };
  return { time, shortage: new Shortage({ hints, wantedOf, patienceMs: 100, clock: () => time.ms }) };
}

test('of two runs that wait for each other’s workers, the one that comes later is given back, and after a while', async () => {
  const { shortage } = shortageOf({ needs: [first, second] });
  assert.equal(await shortage.reasonToGiveBack(second, 99, signal), undefined);
  assert.match((await shortage.reasonToGiveBack(second, 100, signal))!, /comes before it/);
  assert.equal(await shortage.reasonToGiveBack(first, 10_000, signal), undefined);
});

test('priority comes before age', async () => {
  const { shortage } = shortageOf({ needs: [urgent, first] });
  assert.match((await shortage.reasonToGiveBack(first, 100, signal))!, /comes before it/);
  assert.equal(await shortage.reasonToGiveBack(urgent, 10_000, signal), undefined);
});

test('a run that lacks workers for long is given back if anything waits for one, and is kept if nothing does', async () => {
  const { shortage } = shortageOf({ needs: [first], claims: [second] });
  assert.equal(await shortage.reasonToGiveBack(first, 399, signal), undefined);
  assert.match((await shortage.reasonToGiveBack(first, 400, signal))!, /other runs wait/);
  const { shortage: alone } = shortageOf({ needs: [first], claims: [first] });
  assert.equal(await alone.reasonToGiveBack(first, 10_000, signal), undefined);
});

test('a run that was given back is shunned, every time for longer, and gives nobody a reason meanwhile', async () => {
  const { shortage, time } = shortageOf({ needs: [first, second], claims: [first] });
  shortage.shun('first');
  assert.ok(shortage.isShunned('first'));
  assert.equal(await shortage.reasonToGiveBack(second, 10_000, signal), undefined);
  time.ms = 400;
  assert.ok(!shortage.isShunned('first'));
  shortage.shun('first');
  time.ms += 799;
  assert.ok(shortage.isShunned('first'));
  shortage.forget('first');
  assert.ok(!shortage.isShunned('first'));
});

test('a hint that is left over of another run, or a run that cannot be read, is no reason to give a run back', async () => {
  for (const found of ['none', 'join', 'damaged'] as const) {
    const { shortage } = shortageOf({ needs: [first, second] }, { first: found });
    assert.equal(await shortage.reasonToGiveBack(second, 10_000, signal), undefined, found);
    const { shortage: other } = shortageOf({ needs: [first], claims: [second] }, { second: found });
    assert.equal(await other.reasonToGiveBack(first, 10_000, signal), undefined, found);
  }
  const { shortage } = shortageOf({ needs: [urgent, first, second] }, { urgent: 'none' });
  assert.match((await shortage.reasonToGiveBack(second, 100, signal))!, /comes before it/);
});

test('of more hints than one look reads, the next look goes on with the others', async () => {
  const left = Array.from({ length: 40 }, (_, k) => hint(`left${k}`, 10 + k));
  const wanted = Object.fromEntries(left.map(({ id }) => [id, 'none'] as const));
  const { shortage } = shortageOf({ needs: [first], claims: [...left, second] }, wanted);
  assert.equal(await shortage.reasonToGiveBack(first, 400, signal), undefined);
  assert.match((await shortage.reasonToGiveBack(first, 400, signal))!, /other runs wait/);
});
