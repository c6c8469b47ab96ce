import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LookPace } from './look-pace.js';

/** A stream of numbers from 0 to below 1 that is the same in every run. */
function draws(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Looks and marks in each poll, of so many workers that share one mark, after they had time to find their pace. */
function paceOf(workers: number, polls = 400): { looks: number; marks: number } {
  const random = draws(workers);
  const paces = Array.from({ length: workers }, () => ({ pace: new LookPace({ pollMs: 1, random }), at: random() }));
  let [looks, marks, mark] = [0, 0, 0];
  // One after the other by the time of their looks, in steps that are much shorter than a poll.
  for (let now = 0; now < 2 * polls; now += 1 / 64)
    for (const worker of paces) {
      if (worker.at > now) continue;
      if (now >= polls) looks++;
      if (worker.pace.looked(`${mark}`)) {
        mark++;
        if (now >= polls) marks++;
      }
      worker.at = now + worker.pace.next();
    }
  return { looks: looks / polls, marks: marks / polls };
}

test('few workers look at every poll, and many together as often as about eight', () => {
  assert.ok(paceOf(1).looks >= 1 && paceOf(2).looks > 1.5, 'one looks as often as it may');
  for (const workers of [4, 8, 20, 40, 70]) {
    const { looks, marks } = paceOf(workers);
    assert.ok(looks > 2 && looks < 16, `${workers} workers looked ${looks} times`);
    assert.ok(marks < 1, `${workers} workers left ${marks} marks`);
  }
  // The longest pause is ten polls.
  const { looks, marks } = paceOf(1000, 60);
  assert.ok(looks > 80 && looks < 160, `1000 workers looked ${looks} times`);
  assert.ok(marks < 4, `${marks} marks`);
});

test('whoever is alone again looks often after a few looks', () => {
  const random = draws(5);
  const pace = new LookPace({ pollMs: 1, random });
  for (let mark = 0; mark < 100; mark++) pace.looked(`${mark}`);
  assert.ok(pace.factor > 9);
  for (let look = 0; look < 12; look++) pace.looked('same');
  assert.equal(pace.factor, 1);
});
