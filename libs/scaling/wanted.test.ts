import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dataWanted, workByProject, workersWanted } from './wanted.js';

const work = fc.array(fc.record({ project: fc.constantFrom('a', 'b', 'c'), waits: fc.boolean() }), { maxLength: 60 });

test('wanted workers are the work that waits and that is under way, so a worker that works is never surplus', () => {
  fc.assert(fc.property(work, (pieces) => assert.equal(workersWanted(workByProject(pieces)), pieces.length)));
  assert.equal(workersWanted([]), 0);
});

test('a run that several workers may train wants as many, whether it waits or has begun, within the limit of its project', () => {
  const of = workByProject([
    { project: 'a', waits: true, workers: 4 },
    { project: 'a', waits: false, workers: 3 },
    { project: 'b', waits: false },
  ]);
  assert.deepEqual(of, [
    { project: 'a', waiting: 6, owned: 1 },
    { project: 'b', waiting: 0, owned: 1 },
  ]);
  assert.equal(workersWanted(of), 8);
  assert.equal(
    workersWanted(of, () => 2),
    3,
  );
});

test('work beyond what a project may have at the same time wants no worker, and a limit that was lowered ends no claim', () => {
  fc.assert(
    fc.property(work, fc.nat(30), (pieces, limit) => {
      const of = workByProject(pieces);
      const wanted = workersWanted(of, (project) => (project === 'a' ? limit : Number.POSITIVE_INFINITY));
      const [a, others] = [of.filter(({ project }) => project === 'a'), of.filter(({ project }) => project !== 'a')];
      const [waiting, owned] = [a[0]?.waiting ?? 0, a[0]?.owned ?? 0];
      const ofA = wanted - workersWanted(others);
      assert.ok(ofA >= owned && ofA <= waiting + owned && (ofA <= limit || ofA === owned), `${ofA} for ${waiting} and ${owned}`);
      assert.ok(ofA === waiting + owned || ofA >= limit);
    }),
  );
});

const demand = fc.record({
  runs: fc.nat(500),
  waitShare: fc.double({ min: 0, max: 1, noNaN: true }),
  replicas: fc.nat(200),
  waitingCalls: fc.nat(5000),
});

test('data replicas are wanted while there is a run or a call, as many as the runs want, and at most twice as many as there are', () => {
  fc.assert(
    fc.property(demand, fc.integer({ min: 1, max: 16 }), (found, target) => {
      const wanted = dataWanted(found, target);
      if (found.runs === 0 && found.waitingCalls === 0) assert.equal(wanted, 0);
      else assert.ok(wanted >= Math.max(1, found.runs));
      assert.ok(wanted <= Math.max(found.runs, 1, 2 * found.replicas * target));
    }),
  );
});

test('replicas grow while runs wait for data, stay where that is little, and then shrink to what the runs want', () => {
  const of = (waitShare: number, replicas: number, waitingCalls = 0) => dataWanted({ runs: 8, waitShare, replicas, waitingCalls }, 4) / 4;
  assert.equal(of(0, 0), 2);
  assert.equal(of(0, 2), 2);
  assert.equal(of(0.25, 3), 4);
  assert.equal(of(0.9, 3), 6);
  assert.equal(of(0.07, 6), 6);
  assert.equal(of(0, 6), 4.8);
  assert.equal(of(0, 3), 2);
  // Callers that are no runs.
  assert.equal(of(0, 3, 48), 6);
  assert.equal(of(0, 3, 13), 3);
  assert.equal(dataWanted({ runs: 0, waitShare: 0, replicas: 0, waitingCalls: 1 }, 4), 1);
});

/** A service whose replicas each feed so many runs without waiting, asked again and again. */
test('the number of replicas settles, whatever a replica can do', () => {
  for (const runs of [1, 3, 20, 100])
    for (const feeds of [0.4, 1, 2.5, 10]) {
      let replicas = 1;
      const seen: number[] = [];
      for (let look = 0; look < 60; look++) {
        const waitShare = Math.max(0, 1 - (replicas * feeds) / runs);
        replicas = Math.ceil(dataWanted({ runs, waitShare, replicas, waitingCalls: 0 }, 4) / 4);
        if (look >= 40) seen.push(replicas);
      }
      const [least, most] = [Math.min(...seen), Math.max(...seen)];
      const enough = Math.ceil((runs / feeds) * 0.9);
      assert.ok(most >= Math.min(enough, most) && most * feeds >= runs * 0.9, `${runs} runs, ${feeds} each: ${seen}`);
      assert.ok(most <= Math.max(Math.ceil(runs / 4), 2 * enough + 1), `${runs} runs, ${feeds} each: ${seen}`);
      assert.ok(least * feeds >= runs * 0.7 || least >= runs / 4, `${runs} runs, ${feeds} each: ${seen}`);
    }
});
