import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MOST_LEAVES } from '#engine/gradient-tree.js';
import { choices, contiguous, ownSums, scattered, wholeSum } from '../../test/support/exchange-cases.js';
import { simulate } from '../../test/support/mesh-simulation.js';
import { exchangeProgram } from './exchange-program.js';
import { checkPlan, type ExchangePlan } from './plan.js';

/** The sums on all members after an exchange in a random order. */
function exchanged(plan: ExchangePlan, choose: (n: number) => number): Float32Array[] {
  const sums = plan.held.map(() => new Float32Array(plan.elements).fill(Number.NaN));
  const members = plan.held.map((_, rank) => ({
    program: exchangeProgram(rank, plan),
    arrays: [...ownSums(plan, rank).values(), sums[rank] as Float32Array],
  }));
  const before = members.map(({ arrays }) => arrays.slice(0, -1).map((values) => values.slice()));
  simulate(members, choose);
  for (const [rank, { arrays }] of members.entries())
    assert.deepEqual(arrays.slice(0, -1), before[rank], 'what a member holds has changed');
  return sums;
}

test('every member has the sum of all leaves in the order of the tree, whoever holds which subtrees, in any order of events', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: MOST_LEAVES }),
      fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1000, max: 12_000 })),
      fc.noBias(fc.integer()),
      (members, leaves, elements, seed) => {
        const choose = choices(seed);
        const held = choose(2) === 0 ? contiguous(members, leaves) : scattered(members, leaves, choose);
        const plan = { leaves, held, elements };
        checkPlan(plan);
        const expected = Buffer.from(wholeSum(leaves, elements).buffer);
        for (const [rank, sum] of exchanged(plan, choose).entries())
          assert.ok(Buffer.from(sum.buffer).equals(expected), `member ${rank} of ${members} has other bits`);
      },
    ),
    { numRuns: 150 },
  );
});

test('pieces are received a bounded number ahead, so that memory does not grow with the gradient', () => {
  const held = scattered(2, 16, (n) => n - 1); // every leaf alone, all with the last member
  const [small, large] = [2 ** 22, 2 ** 26].map((elements) => exchangeProgram(0, { leaves: 16, held, elements }).scratch);
  assert.ok(small !== undefined && large !== undefined && large < 2 ** 24, `${small} and ${large} floats`);
});

test('members with different plans use different tags, so that no one receives what was meant otherwise', () => {
  const tagsOf = (plan: ExchangePlan) =>
    new Set(exchangeProgram(0, plan).instructions.flatMap((one) => (one.kind === 'send' || one.kind === 'receive' ? [one.tag] : [])));
  const plan: ExchangePlan = { leaves: 8, held: contiguous(2, 8), elements: 5000 };
  const others: ExchangePlan[] = [
    { ...plan, held: [...contiguous(2, 8)].reverse() },
    { ...plan, elements: 5001 },
    { ...plan, subnormals: 'keep' },
  ];
  assert.deepEqual(tagsOf(plan), tagsOf({ ...plan, subnormals: 'flush' }));
  for (const other of others) assert.ok([...tagsOf(plan)].every((tag) => !tagsOf(other).has(tag)));
});

test('a plan in which a leaf is missing, is there twice, or has a subtree that is not in the tree is refused', () => {
  const refused = (leaves: number, held: ExchangePlan['held'], elements = 10) =>
    assert.throws(() => checkPlan({ leaves, held, elements }), RangeError);
  refused(2, [[{ first: 0, leaves: 1 }], []]);
  refused(2, [[{ first: 0, leaves: 2 }], [{ first: 1, leaves: 1 }]]);
  refused(2, [[{ first: 0, leaves: 1 }], [{ first: 1, leaves: 1 }], [{ first: 1, leaves: 1 }]]);
  refused(3, [[{ first: 0, leaves: 1 }], [{ first: 1, leaves: 2 }]]);
  refused(17, [[{ first: 0, leaves: 17 }]]);
  refused(1, [[{ first: 0, leaves: 1 }]], 0);
  checkPlan({ leaves: 3, held: [[{ first: 2, leaves: 1 }], [], [{ first: 0, leaves: 2 }]], elements: 1 });
});
