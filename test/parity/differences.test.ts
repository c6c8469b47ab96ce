/** docs/differences.md: every test that it names exists, and what no other test holds is held here. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compile } from '#engine/index.js';
import { weightDecay } from '#schedule/index.js';
import { adamw } from '../support/adamw.js';
import { testedExecutors, withoutExecutor } from '../support/executors.js';
import { sharedPath } from '../support/shared-folder.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const rows = readFileSync(join(root, 'docs/differences.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| The reference'))
  .map((line) => line.split(' | '));

/** Whether a file declares a test of this name: as it is written there, in any quotes. */
function declares(source: string, name: string): boolean {
  const declared = [...source.matchAll(/\btest\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`|([\w.]+))/g)];
  return declared.some(([, single, double, template, variable]) =>
    [single, double, template, variable && `\${${variable}}`].includes(name),
  );
}

test('every difference names tests, and each of them exists', () => {
  assert.ok(rows.length >= 14);
  for (const columns of rows) {
    assert.equal(columns.length, 4, columns[0]);
    const tests = [...columns[3]!.matchAll(/`([^`:]+): ([^`]+)`/g)];
    assert.ok(tests.length > 0, columns[0]);
    for (const [, file, name] of tests) {
      assert.ok(existsSync(join(root, file!)), file);
      assert.ok(declares(readFileSync(join(root, file!), 'utf8'), name!), `${file} has no test ${JSON.stringify(name)}`);
    }
  }
  assert.ok(!declares("test('one', () => {})", 'another'));
});

const recipe = sharedPath('reference', 'recipe.md');
test('no bug that the recipe marks is left out', { skip: recipe ? false : 'the recipe is not beside this working copy' }, () => {
  const marks = (readFileSync(recipe!, 'utf8').match(/⚠/g) ?? []).length - 1; // one explains the mark
  const [bugs = ''] = readFileSync(join(root, 'docs/differences.md'), 'utf8').split('## Choices');
  const count = bugs.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| The reference')).length;
  // One mark of the recipe stands before two of them.
  assert.ok(count > marks, `${count} rows for ${marks} marks`);
});

for (const executor of testedExecutors.filter((name) => name !== 'tfjs-tensorflow')) {
  test('a weight decay that begins at 0 acts as soon as it rises', { skip: withoutExecutor(executor) }, async () => {
    const program = await compile('vit_nano_p7', { imageSize: 28, classes: 5, batch: 1 }, { executor });
    await program.initialize(3n);
    const start = await program.read('weights', 'head.weight');
    const schedule = weightDecay({ weightDecay: 0, weightDecayEnd: 0.4 }, { epochs: 2, stepsPerEpoch: 2 });
    const [learningRate, steps] = [0.1, 4];
    let left = 1;
    for (let step = 0; step < steps; step++) {
      const decay = schedule.at(step);
      left *= 1 - learningRate * decay;
      await program.step({
        microBatches: [{ images: new Float32Array(3 * 28 * 28), targets: Float32Array.of(1, 0, 0, 0, 0), samples: 1, firstSample: 0 }],
        random: { seed: 0n, step },
        // No gradient: what changes the weights is the decay alone.
        lossScale: 0,
        optimizer: adamw(step + 1, { clip: 0, learningRate, weightDecay: decay, emaDecay: -1 }),
      });
    }
    assert.ok(left < 0.95);
    const end = await program.read('weights', 'head.weight');
    for (const [i, value] of start.entries()) assert.ok(Math.abs(end[i]! - left * value) <= 1e-6 * Math.abs(value));
    program.dispose();
  });
}
