import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce, inTurns, mapInPieces, type Pieces } from './pieces.js';

test('pieces give the same result at once and in turns; other work runs between them', async () => {
  const square = (x: number) => x * x;
  const items = Array.from({ length: 200 }, (_, k) => k);
  assert.deepEqual(atOnce(mapInPieces(items, square)), items.map(square));
  let turns = 0;
  let ended = false;
  const count = () => {
    turns++;
    if (!ended) setImmediate(count);
  };
  setImmediate(count);
  assert.deepEqual(await inTurns(mapInPieces(items, square, 10), 0), items.map(square));
  ended = true;
  assert.ok(turns >= 15, `${turns} turns`);
});

test('an error in a piece reaches the caller', async () => {
  function* failing(): Pieces<number> {
    yield;
    throw new RangeError('second piece');
  }
  assert.throws(() => atOnce(failing()), RangeError);
  await assert.rejects(inTurns(failing(), 0), RangeError);
});
