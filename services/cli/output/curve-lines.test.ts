import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { beside, curveLines } from './curve-lines.js';

const options = { title: 'loss', format: (y: number) => y.toFixed(2), columns: 20, rows: 2 };

test('a curve has its newest value in the title, and the highest and the lowest one beside it', () => {
  const ramp = Array.from({ length: 20 }, (_, k) => 2 - k / 19);
  assert.deepEqual(curveLines(ramp, options), ['loss  1.00          ', '     2.00 ⠉⠓⠲⢤⣀⡀⠀⠀⠀⠀', '     1.00 ⠀⠀⠀⠀⠀⠉⠙⠲⠤⣄']);
});

test('every line has the width, whatever the values are', () => {
  const value = fc.oneof(fc.double(), fc.constant(undefined));
  fc.assert(
    fc.property(
      fc.array(value, { maxLength: 300 }),
      fc.integer({ min: 12, max: 90 }),
      fc.integer({ min: 1, max: 9 }),
      (values, columns, rows) => {
        const lines = curveLines(values, { ...options, columns, rows });
        assert.equal(lines.length, rows + 1);
        for (const line of lines) assert.equal([...line].length, columns);
      },
    ),
  );
});

test('a gap stays a gap, and curves stand beside each other', () => {
  const [head, line] = curveLines([1, 1, undefined, Number.NaN, 1, 1], { ...options, columns: 13, rows: 1 });
  assert.deepEqual([head, line], ['loss  1.00   ', '     1.00 ⠤⠀⠤']);
  assert.deepEqual(
    beside([
      ['a ', 'b '],
      ['c', ''],
    ]),
    ['a   c', 'b'],
  );
});
