import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Violations } from '#errors/errors.js';
import { eraseModeToJSON, mixupModeToJSON, sampleOrderToJSON, trainInterpolationToJSON } from '#protocol/dropstream/v1/data.js';
import { engineToJSON, precisionToJSON } from '#protocol/dropstream/v1/engine_types.js';
import { optimizerToJSON, RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropMode, dropKindToJSON, dropModeToJSON, dropScheduleToJSON } from '#protocol/dropstream/v1/schedule_types.js';
import * as words from './words.js';

/** Any one of the tables. */
interface Table {
  readonly words: readonly string[];
  readonly names: readonly string[];
  readonly fallback: string;
  has(value: number): boolean;
  fromWord(word: never): number;
  parse(text: string): number | undefined;
  rule(text: string): string;
  wordOf(value: number | undefined): string;
  read(violations: Violations, field: string, value: number | undefined): string;
}

const tables: readonly (readonly [Table, (value: never) => string])[] = [
  [words.dropKinds, dropKindToJSON],
  [words.dropModes, dropModeToJSON],
  [words.dropSchedules, dropScheduleToJSON],
  [words.optimizers, optimizerToJSON],
  [words.engines, engineToJSON],
  [words.precisions, precisionToJSON],
  [words.trainInterpolations, trainInterpolationToJSON],
  [words.eraseModes, eraseModeToJSON],
  [words.mixupModes, mixupModeToJSON],
  [words.sampleOrders, sampleOrderToJSON],
];

test('a word, its number and its proto name convert into each other', () => {
  for (const [table, nameOf] of tables) {
    assert.ok(table.words.length >= 2);
    for (const [k, word] of table.words.entries()) {
      const value = table.parse(word) as number;
      assert.equal(value, table.fromWord(word as never));
      assert.equal(table.wordOf(value), word);
      assert.equal(table.names[k], nameOf(value as never));
      assert.equal(table.read(new Violations(), 'x', value), word);
    }
    assert.deepEqual([table.wordOf(undefined), table.wordOf(0)], [table.fallback, table.fallback]);
  }
});

test('other numbers and other words are refused, with what is allowed', () => {
  fc.assert(
    fc.property(fc.constantFrom(...tables), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.string(), ([table], value, text) => {
      const known = value >= 0 && value <= table.words.length;
      const violations = new Violations();
      const word = table.read(violations, 'spec.x', value);
      assert.equal(table.has(value), known);
      if (known) assert.ok(violations.empty && table.wordOf(value) === word);
      else {
        assert.deepEqual(violations.list, [{ field: 'spec.x', value: String(value), allowed: `one of ${table.names.join(', ')}` }]);
        assert.throws(() => table.wordOf(value), RangeError);
      }
      assert.equal(table.parse(text) === undefined, !(table.words as readonly string[]).includes(text));
      assert.ok(table.rule(text).startsWith(`one of ${table.words.join(', ')}`));
    }),
  );
});

test('another word for a precision is refused with the right one', () => {
  for (const word of ['FP16', 'float16', 'half']) {
    assert.equal(words.precisions.parse(word), undefined);
    const { rule } = words.precisions;
    assert.equal(rule(word), 'one of fp32, bf16, f16, because float16 is called f16, and only the engine webgpu has it');
    assert.equal(rule('fp64'), 'one of fp32, bf16, f16');
  }
});

test('what JSON of another release holds is an unknown value, not the default', () => {
  const spec = RunSpec.fromJSON({ dropMode: 'early', precision: 'PRECISION_BF16' });
  assert.throws(() => words.dropModes.wordOf(spec.dropMode), /DROP_MODE is -1, must be one of DROP_MODE_STANDARD/);
  assert.equal(words.precisions.wordOf(spec.precision), 'bf16');
  assert.equal(words.dropModes.fromWord('late'), DropMode.LATE);
});
