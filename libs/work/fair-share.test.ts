import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairQueue } from './fair-queue.js';
import { FairShare } from './fair-share.js';
import type { QueueEntry } from './queue-index.js';

const projects = ['a', 'b', 'c', 'd'];
const weights = fc.record(Object.fromEntries(projects.map((project) => [project, fc.integer({ min: 1, max: 20 })])));

/** Claims of each project after each choice, while all have work. */
function claims(share: FairShare, order: readonly string[], choices: number): Map<string, number>[] {
  const counts = new Map(order.map((project) => [project, 0]));
  return Array.from({ length: choices }, () => {
    share.present(new Set(order));
    const { project } = share.next(order.map((one) => ({ project: one })))!;
    share.charge(project);
    counts.set(project, counts.get(project)! + 1);
    return new Map(counts);
  });
}

test('while all projects have work, two of them never differ by more than one claim of each, in the ratio of their weights', () => {
  fc.assert(
    fc.property(weights, fc.shuffledSubarray(projects, { minLength: 2 }), fc.integer({ min: 1, max: 300 }), (weight, order, choices) => {
      const share = new FairShare((project) => weight[project]!);
      for (const counts of claims(share, order, choices))
        for (const one of order)
          for (const other of order) {
            const ahead = counts.get(one)! / weight[one]! - counts.get(other)! / weight[other]!;
            assert.ok(ahead <= 1 / weight[one]! + 1e-6, `${one} is ${ahead} ahead of ${other}`);
          }
    }),
  );
});

test('a project that comes later waits for at most one claim of each other, and catches up nothing', () => {
  fc.assert(
    fc.property(weights, fc.integer({ min: 0, max: 200 }), (weight, before) => {
      const share = new FairShare((project) => weight[project]!);
      const early = ['a', 'b', 'c'];
      claims(share, early, before);
      const all = claims(share, [...early, 'd'], 400);
      const first = all.findIndex((counts) => counts.get('d')! > 0);
      const total = projects.reduce((sum, project) => sum + weight[project]!, 0);
      assert.ok(first <= total, `its first claim was the ${first + 1}th`);
      const share400 = (400 * weight.d!) / total;
      assert.ok(Math.abs(all.at(-1)!.get('d')! - share400) <= projects.length + 1, `${all.at(-1)!.get('d')} of ${share400}`);
    }),
  );
});

const keyOf = ({ project, id }: QueueEntry): string => `${project}/${id}`;
const entriesOf = (project: string, count: number): QueueEntry[] =>
  Array.from({ length: count }, (_, k) => ({ project, id: `${project}${k}`, uid: '' }));

test('a queue of 1000 entries does not keep a single one of another project waiting', () => {
  const queue = new FairQueue(undefined, keyOf);
  let left = [...entriesOf('many', 1000), ...entriesOf('one', 1)];
  const claimed: string[] = [];
  while (claimed.length < 3)
    for (const entry of queue.order(left)) {
      queue.begins(entry);
      claimed.push(entry.project);
      left = left.filter((other) => other !== entry);
      break;
    }
  assert.deepEqual(claimed, ['many', 'one', 'many']);
});

test('every process counts the claims of the others, so a new one goes on where they are', () => {
  const entries = [...entriesOf('a', 5), ...entriesOf('b', 5)];
  const queue = new FairQueue(undefined, keyOf);
  const order: string[] = [];
  // The first three of a have owners.
  for (const entry of queue.order(entries)) {
    if (['a0', 'a1', 'a2'].includes(entry.id)) queue.saw(entry, 7);
    else {
      order.push(entry.id);
      queue.begins(entry);
    }
  }
  assert.deepEqual(order.slice(0, 4), ['b0', 'b1', 'b2', 'a3'].slice(0, 4));
});

test('what a project could not claim when it was its turn, it does not catch up', () => {
  const queue = new FairQueue(undefined, keyOf);
  for (let k = 0; k < 10; k++)
    for (const entry of queue.order([...entriesOf('blocked', 20), { project: 'free', id: `free${k}`, uid: '' }, ...entriesOf('free', 20)]))
      if (entry.project === 'free') {
        queue.begins(entry);
        break;
      }
  const next: string[] = [];
  for (const entry of queue.order([...entriesOf('blocked', 20), ...entriesOf('free', 20)])) {
    next.push(entry.project);
    queue.begins(entry);
    if (next.length === 6) break;
  }
  // Three, and the one whose turn it was all the time.
  assert.equal(next.filter((project) => project === 'blocked').length, 4, next.join());
});

test('the same looks give the same order, and every entry comes once', () => {
  const line = fc.tuple(fc.constantFrom(...projects), fc.integer({ min: 0, max: 12 }));
  fc.assert(
    fc.property(weights, fc.array(line, { maxLength: 6 }), (weight, lines) => {
      const entries = lines.flatMap(([project, count], k) =>
        Array.from({ length: count }, (_, n) => ({ project, id: `${k}-${n}`, uid: '' })),
      );
      const walk = (): string[] => {
        const queue = new FairQueue({ weightOf: (project) => weight[project]!, of: () => ({}) }, keyOf);
        const order: string[] = [];
        for (const entry of queue.order(entries)) {
          queue.begins(entry);
          order.push(entry.id);
        }
        return order;
      };
      const [one, other] = [walk(), walk()];
      assert.deepEqual(one, other);
      assert.deepEqual(one.toSorted(), entries.map(({ id }) => id).sort());
    }),
  );
});
