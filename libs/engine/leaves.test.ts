/** A step in leaves: every executor adds the leaves in one tree, whichever worker computed them; and cancelling leaves no trace. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { maxAbsoluteDifference } from '../../test/support/golden-model.js';
import { compile } from './compile.js';
import type { ExecutorName } from './engines.js';
import { type LeafRequest, leafRanges, StepCancelled, subtreesWithin } from './index.js';
import type { OptimizerStep, Program, StepRequest } from './program.js';

const MODEL = 'vit_nano_p7';
const CLASSES = 5;
const IMAGE = 14;
const FLOATS = 3 * IMAGE * IMAGE;
const shapes = { imageSize: IMAGE, classes: CLASSES, batch: 2 };
const draws = new PhiloxDraws(purposeKey(11n, 'leaves.test'));
const counts = [1, 2, 3, 4, 5, 7, 8, 13, 16];
/** The numbers of leaves that are split over executables. A program on WebGPU takes a second to create. */
const manyLeaves: Partial<Record<ExecutorName, readonly number[]>> = { native: counts, webgpu: [3, 5] };

const optimizer: OptimizerStep = {
  ...{ kind: 'adamw', beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum: 0, step: 1, clip: 1 },
  ...{ learningRate: 1e-3, weightDecay: 0.05, emaDecay: 0.9 },
};

/** Step t with this many micro-batches, which have one and two samples in turn, with dropout and drop path. */
function request(microBatches: number, t = 0): StepRequest & { optimizer: OptimizerStep } {
  const sizes = Array.from({ length: microBatches }, (_, k) => 1 + (k % 2));
  let next = 0;
  const batches = sizes.map((samples) => {
    const firstSample = next;
    next += samples;
    const at = 1000 * t + firstSample;
    return {
      images: Float32Array.from({ length: samples * FLOATS }, (_, i) => 2 * draws.uniform(at * FLOATS + i) - 1),
      targets: Float32Array.from({ length: samples * CLASSES }, (_, i) =>
        i % CLASSES === (at + Math.floor(i / CLASSES)) % CLASSES ? 1 : 0,
      ),
      samples,
      firstSample,
    };
  });
  const random = { seed: 42n, step: t, dropout: 0.1, blockRates: [0, 0.1, 0.2, 0.3] };
  return { microBatches: batches, random, lossScale: 1 / next, optimizer: { ...optimizer, step: t + 1 } };
}

/** The request with which a worker computes its leaves. */
function leafRequests({ microBatches, random, lossScale }: StepRequest, leaves: number): LeafRequest[] {
  return leafRanges(microBatches.length, leaves).map(({ begin, end }, leaf) => {
    return { microBatches: microBatches.slice(begin, end), random, lossScale, leaf, leaves };
  });
}

async function stateHash(program: Program): Promise<string> {
  const hash = createHash('sha256');
  for (const tensors of Object.values(await program.exportState({ ema: true }))) for (const { data } of tensors) hash.update(data);
  return hash.digest('hex');
}

const gradients = async (program: Program) => Float32Array.from((await program.readAll('gradients')).flatMap(({ data }) => [...data]));

/** The leaves [cuts[k], cuts[k + 1]) belong to one worker. */
function cutsOf(leaves: number): number[][] {
  const third = Math.floor(leaves / 3);
  const all = [
    [0, leaves],
    [0, 1, leaves],
    [0, leaves - 1, leaves],
    [0, leaves >> 1, leaves],
    [0, third, 2 * third + 1, leaves],
  ];
  return all.filter((cuts) => cuts.every((cut, k) => k === 0 || cut > cuts[k - 1]!));
}

for (const executor of testedExecutors) {
  const skip = withoutExecutor(executor);
  const start = async () => {
    const program = await compile(MODEL, shapes, { executor });
    await program.initialize(7n);
    return program;
  };

  test(`${executor}: any split of the same leaves over several executables gives the bits of one`, { skip }, async () => {
    for (const leaves of manyLeaves[executor] ?? [1, 3, 5, 8]) {
      const step = request(leaves + 2);
      const one = await start();
      const whole = await one.step({ ...step, leaves: Math.min(leaves, 16) });
      const wanted = [whole.gradNorm, await stateHash(one), await gradients(one)];
      for (const cuts of cutsOf(leaves)) {
        const workers = await Promise.all(cuts.slice(1).map(start));
        const requests = leafRequests(step, leaves);
        const losses: Float32Array[] = [];
        for (const [k, worker] of workers.entries()) {
          const own = requests.slice(cuts[k], cuts[k + 1]);
          // Leaves may come in any order: every other worker begins at its end.
          for (const leaf of k % 2 === 1 ? own.toReversed() : own) losses[leaf.leaf] = (await worker.accumulate(leaf)).losses;
        }
        const sums = workers.flatMap((worker, k) => subtreesWithin(leaves, cuts[k]!, cuts[k + 1]!).map((node) => ({ worker, node })));
        const sent = await Promise.all(
          sums.map(async ({ worker, node }) => {
            const values = new Float32Array(worker.parameterFloats);
            await worker.readSubtree(node, values);
            return { worker, node, values };
          }),
        );
        for (const worker of workers) {
          for (const { node, values } of sent.filter((one) => one.worker !== worker)) await worker.writeSubtree(node, leaves, values);
          const { gradNorm } = await worker.update(step.optimizer);
          assert.deepEqual([gradNorm, await stateHash(worker), await gradients(worker)], wanted, `${leaves} leaves cut at ${cuts}`);
        }
        assert.deepEqual(
          losses.flatMap((part) => [...part]),
          [...whole.losses],
        );
        for (const worker of workers) worker.dispose();
      }
      one.dispose();
    }
  });

  test(`${executor}: one leaf and many differ by rounding only; the number of leaves decides the bits`, { skip }, async () => {
    const program = await start();
    const { optimizer: _, ...step } = request(16);
    const one = await program.step({ ...step, leaves: 1 });
    const chain = await gradients(program);
    const largest = chain.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const found = new Set([chain.join()]);
    for (const leaves of [2, 5, 16]) {
      const { losses, logits, gradNorm } = await program.step({ ...step, leaves });
      assert.deepEqual([losses, logits], [one.losses, one.logits]);
      assert.ok(Math.abs(gradNorm / one.gradNorm - 1) < 1e-5);
      const sums = await gradients(program);
      assert.ok(maxAbsoluteDifference(sums, chain) < 2e-6 * largest, `${leaves} leaves`);
      found.add(sums.join());
    }
    assert.equal(found.size, 4);
    await program.step(step);
    assert.ok(found.has((await gradients(program)).join()), 'by default a step of 16 micro-batches has 16 leaves');
    program.dispose();
  });

  test(`${executor}: a step without its leaves is refused and given up; a leaf is taken once`, { skip }, async () => {
    const program = await start();
    const before = await stateHash(program);
    const step = request(3);
    const [first, second, third] = leafRequests(step, 3) as [LeafRequest, LeafRequest, LeafRequest];
    await assert.rejects(program.update(step.optimizer), /no leaf of a step has been accumulated/);
    await assert.rejects(program.readAll('gradients'), /gradients can be read after an update only/);
    await program.accumulate(second);
    await assert.rejects(program.accumulate(second), /the step has leaf 1 already/);
    await assert.rejects(program.accumulate({ ...third, leaves: 4 }), /leaves is 4, the step has 3/);
    await assert.rejects(program.accumulate({ ...third, leaf: 3 }), /leaf: 3 is not a whole number below leaves, 3/);
    await assert.rejects(program.accumulate({ ...third, leaves: 17 }), /leaves: 17 is not a whole number from 1 to 16/);
    const sum = new Float32Array(program.parameterFloats);
    await assert.rejects(program.readSubtree({ first: 0, leaves: 1 }, sum), /there is no sum of leaf 0 alone/);
    await assert.rejects(program.readSubtree({ first: 1, leaves: 1 }, sum.subarray(1)), /has \d+ floats/);
    await assert.rejects(program.writeSubtree({ first: 1, leaves: 2 }, 3, sum), /the tree of 3 leaves has no sum of leaves 1 to 2/);
    await assert.rejects(program.update(step.optimizer), /leaf 0 of 3 is missing/);
    assert.equal(await stateHash(program), before);
    // The step was discarded: the same leaves are accumulated again, in any order.
    for (const leaf of [third, first, second]) await program.accumulate(leaf);
    // The norm is computed first, and then the rest; nothing is applied twice.
    const { gradNorm } = await program.update();
    assert.equal(await stateHash(program), before);
    assert.equal((await program.update(step.optimizer)).gradNorm, gradNorm);
    await assert.rejects(program.update(step.optimizer), /updated already/);
    const other = await start();
    await other.step({ ...step, leaves: 3 });
    assert.equal(await stateHash(program), await stateHash(other));
    for (const one of [program, other]) one.dispose();
  });

  test(`${executor}: cancel rejects what runs and waits, leaves the state as it was, and the next step begins from zero`, {
    skip,
    timeout: 120_000,
  }, async () => {
    const program = await start();
    await program.step(request(2, 0));
    const before = await program.exportState({ ema: true });
    const hashes = [await stateHash(program)]; // after so many steps more
    for (const t of [1, 2]) {
      await program.step(request(16, t));
      hashes.push(await stateHash(program));
    }
    const cancelAfter = async (waitMs?: number) => {
      await program.importState(before);
      const steps = [program.step(request(16, 1)), program.step(request(16, 2))];
      const settled = Promise.allSettled([...steps, program.evaluate(request(1).microBatches[0]!)]);
      const exported = program.exportState({ ema: false }); // no part of a step
      if (waitMs !== undefined) await new Promise((resolve) => setTimeout(resolve, waitMs));
      program.cancel();
      const outcomes = await settled;
      for (const outcome of outcomes) if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof StepCancelled);
      const done = outcomes.slice(0, 2).filter(({ status }) => status === 'fulfilled').length;
      await exported;
      assert.equal(await stateHash(program), hashes[done], 'weights, moments and EMA');
      return [done, outcomes[2]!.status];
    };
    for (const waitMs of [0, 1, 2, 4, 8]) await cancelAfter(waitMs);
    // The first step may end while the second is still being queued; that it always does so is not possible.
    let [atOnce, attempts] = [await cancelAfter(), 1];
    while (atOnce[0] !== 0 && attempts < 20) [atOnce, attempts] = [await cancelAfter(), attempts + 1];
    assert.deepEqual(atOnce, [0, 'rejected']);
    await program.importState(before);
    // A part of a step, cancelled between two leaves.
    const [first] = leafRequests(request(4, 1), 4) as [LeafRequest];
    await program.accumulate(first);
    program.cancel();
    await program.step(request(2, 1));
    const other = await start();
    for (const t of [0, 1]) await other.step(request(2, t));
    assert.equal(await stateHash(program), await stateHash(other));
    program.cancel(); // with nothing to cancel
    assert.equal((await program.step(request(2, 2))).loss, (await other.step(request(2, 2))).loss);
    for (const one of [program, other]) one.dispose();
  });
}

test('native: leaves in order take log2 + 1 gradients, kept from step to step; one leaf takes no more than it did', {
  skip: withoutExecutor('native'),
}, async () => {
  const program = await compile(MODEL, shapes);
  await program.initialize(7n);
  const base = program.peakBytes;
  const extra: number[] = [];
  for (const leaves of [1, 2, 3, 4, 8, 13, 16, 16, 1]) {
    await program.step({ ...request(16), leaves });
    extra.push((program.peakBytes - base) / 4 / program.parameterFloats);
  }
  // Each parameter is rounded up to 16 floats.
  assert.deepEqual(extra.map(Math.floor), [0, 1, 1, 2, 3, 3, 4, 4, 4]);
  program.dispose();
});
