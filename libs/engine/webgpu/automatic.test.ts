/** `auto` where there is an adapter: what both engines make of the same samples decides. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelConfig } from '#nn/models/registry.js';
import { withGpu, withoutExecutor } from '../../../test/support/executors.js';
import { chooseEngine, planOnEngine } from '../automatic.js';
import { planProgram } from '../compile.js';
import { type EngineName, executorOf } from '../engines.js';

const shapes = { imageSize: 28, classes: 5, batch: 4 };
const model = modelConfig('vit_nano_p7', shapes);
const soon = () => AbortSignal.timeout(120_000);
const software = withoutExecutor('webgpu');

test('a software adapter is not considered unless it is named', { skip: software }, async () => {
  const { engine, reason } = await withGpu(undefined, () => planOnEngine('auto', model, shapes, {}, soon()));
  // A machine with a GPU besides has something to consider.
  if (!/computes on the CPU/.test(reason)) return;
  assert.equal(engine, 'native');
  assert.match(reason, /set DROPSTREAM_GPU to a part of its name/);
});

for (const evaluateOnly of [false, true]) {
  const what = evaluateOnly ? 'evaluations' : 'steps';
  test(`where an adapter is named, ${what} on both engines decide, once`, { skip: software }, async () => {
    const planned: string[] = [];
    const plan = (executor: EngineName) => {
      planned.push(executor);
      return planProgram(model, shapes, { evaluateOnly, executor: executorOf(executor) });
    };
    const choose = () => chooseEngine(plan, { evaluateOnly }, soon());
    const first = await choose();
    const times = /^4 samples take ([\d.]+) ms on .+ and ([\d.]+) ms on the native engine$/.exec(first.reason);
    assert.ok(times, first.reason);
    if (Number(times[1]) !== Number(times[2])) assert.equal(first.engine, Number(times[1]) < Number(times[2]) ? 'webgpu' : 'native');
    assert.deepEqual(planned, ['webgpu', 'native'], 'the trials are of the same plans');
    assert.equal(await choose(), first);
  });
}

test('a choice ends with its signal', { skip: software }, async () => {
  const other = { ...shapes, classes: 7 };
  const stopping = AbortSignal.abort(new Error('stopping'));
  await assert.rejects(planOnEngine('auto', modelConfig('vit_nano_p7', other), other, {}, stopping), /stopping/);
});
