/** The files of docs/study.md are studies whose every run the trainer would accept for the data that they are for. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Violations } from '#errors/errors.js';
import { readStudy, runsOf } from '../../services/cli/study/study-file.js';
import { modelCatalog } from '../../services/trainer/run/model-catalog.js';
import { checkLength, checkRunSpec, resolveRunSpec } from '../../services/trainer/run/run-spec.js';

const folder = new URL('../../docs/study/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
/** Fashion-MNIST, and a tenth of it. */
const classes = Array.from({ length: 10 }, (_, k) => String(k));
const samplesIn = (text: string): number => (text.includes('train_manifest: SMALL') ? 6000 : 60_000);

for (const file of files)
  test(`${file}: each run is accepted, and all have the same number of steps`, () => {
    const written = readFileSync(new URL(file, folder), 'utf8');
    const facts = { samples: samplesIn(written), classes };
    const text = written.replace(/(TRAIN|SMALL)$/gm, 'a'.repeat(64)).replace(/TEST$/gm, 'b'.repeat(64));
    const study = readStudy(text);
    assert.equal(`fm-${file}`, `${study.name}.yaml`);
    const runs = runsOf(study);
    const steps = runs.map(({ id, request }) => {
      assert.deepEqual(
        request.notes.filter((note) => !note.startsWith('warning: the total batch')),
        [],
        id,
      );
      const violations = new Violations();
      checkRunSpec(violations, request.spec, modelCatalog);
      const length = checkLength(violations, request.spec, facts);
      violations.throwIfAny();
      resolveRunSpec(request.spec, modelCatalog, facts);
      return length!.totalSteps;
    });
    assert.equal(new Set(steps).size, 1);
  });

test('the plan names every file and its size', () => {
  const plan = readFileSync(new URL('../study.md', folder), 'utf8');
  let all = 0;
  for (const file of files) {
    const { arms, seeds } = readStudy(readFileSync(new URL(file, folder), 'utf8'));
    assert.match(plan, new RegExp(`\\[${file}\\]\\(study/${file}\\).*\\| ${arms.length} arms, ${seeds.length} seeds \\|`));
    all += arms.length * seeds.length;
  }
  assert.match(plan, new RegExp(`\\b${all} runs\\b`));
});
