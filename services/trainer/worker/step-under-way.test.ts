import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StepUnderWay } from './step-under-way.js';

const hour = 3_600_000;

/** A step that ends when the test says so, or rejects when it is cancelled. */
function underWay(budgetMs: number) {
  const stopping = new AbortController();
  const asked: string[] = [];
  let settle = { end: (): void => {}, fail: (_: Error): void => {} };
  const steps = new StepUnderWay({
    stopping: stopping.signal,
    budgetMs,
    cancel: () => {
      asked.push('cancel');
      settle.fail(new Error('cancelled'));
    },
  });
  const begin = (): Promise<void> =>
    steps.during(
      () =>
        new Promise<void>((end, fail) => {
          settle = { end, fail };
        }),
    );
  return { steps, asked, begin, end: () => settle.end(), stop: () => stopping.abort() };
}

test('a step that by the one before it ends in time is waited for', async () => {
  const { steps, asked, begin, end, stop } = underWay(hour);
  const first = begin();
  end();
  await first;
  const second = begin();
  stop();
  end();
  await second;
  steps.close();
  assert.deepEqual([asked, steps.cancelled], [[], false]);
});

test('a step that by the one before it would take too long is cancelled at once', async () => {
  const { steps, asked, begin, end, stop } = underWay(0);
  const first = begin();
  await new Promise((resolve) => setTimeout(resolve, 2));
  end();
  await first;
  const second = begin();
  stop();
  assert.deepEqual(asked, ['cancel'], 'at once');
  await assert.rejects(second, /cancelled/);
  steps.close();
  assert.equal(steps.cancelled, true);
});

test('a step of unknown length is cancelled when the budget is over', async () => {
  const { steps, asked, begin, stop } = underWay(10);
  const step = begin();
  stop();
  assert.deepEqual(asked, []);
  await assert.rejects(step, /cancelled/);
  steps.close();
});

test('a step that begins when the worker stops already has the budget and no more', async () => {
  const { steps, asked, begin, stop } = underWay(10);
  stop();
  await assert.rejects(begin(), /cancelled/);
  steps.close();
  assert.deepEqual(asked, ['cancel']);
});

test('between two steps, and once closed, nothing is cancelled', async () => {
  const { steps, asked, begin, end, stop } = underWay(0);
  const step = begin();
  end();
  await step;
  stop();
  steps.close();
  assert.deepEqual([asked, steps.cancelled], [[], false]);
});
