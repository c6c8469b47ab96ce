import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GradientStatistics } from '#protocol/dropstream/v1/evaluator.js';
import { gradientLines } from './gradients.js';
import { bar, bytes, count, duration, significant } from './numbers.js';
import { fieldLines, tableLines } from './table.js';
import { processTerminal } from './terminal.js';

test('a table aligns numbers to the right and shows what is absent', () => {
  const rows = [
    { name: 'a', n: 5n, x: undefined },
    { name: 'long name', n: 1234n, x: 'y\n\x1b[2Jz' },
  ];
  const lines = tableLines(rows, [
    { title: 'NAME', value: (r) => r.name },
    { title: 'N', value: (r) => count(r.n) },
    { title: 'X', value: (r) => r.x },
  ]);
  assert.deepEqual(lines, ['NAME           N  X', 'a              5  -', 'long name  1,234  y [2Jz']);
});

test('a table without rows is its title', () => {
  assert.deepEqual(tableLines([], [{ title: 'A', value: () => 1 }]), ['A']);
});

test('fields leave out what is absent', () => {
  assert.deepEqual(
    fieldLines([
      ['a', 1],
      ['bcd', ''],
      ['ef', false],
      ['g', undefined],
    ]),
    ['a   1', 'ef  false'],
  );
});

test('numbers read as people write them', () => {
  assert.deepEqual([0.44, 9.96, 59.6, 65, 3599.6, 3720].map(duration), [
    '0.4 s',
    '10 s',
    '1 min 00 s',
    '1 min 05 s',
    '1 h 00 min',
    '1 h 02 min',
  ]);
  assert.equal(duration(Number.NaN), '-');
  assert.deepEqual([0, 999, 1000, 149_500_000, 3.2e9].map(bytes), ['0 B', '999 B', '1.0 kB', '150 MB', '3.2 GB']);
  assert.deepEqual([count(1234567), count(10n)], ['1,234,567', '10']);
  assert.deepEqual(
    [0, 0.1 + 0.2, 0.00001234, 4e-3].map((v) => significant(v, 4)),
    ['0', '0.3', '1.23e-5', '0.004'],
  );
  assert.equal(bar(0.5, 4), '██░░');
  assert.equal(bar(2, 3), '███');
});

test('statistics of gradients: with drop where there is one, without, of the model and its parts', () => {
  const plain = { batches: 2, variance: 0.25, error: 0.125, norm: 2, loss: 1.5 };
  const statistics = GradientStatistics.fromPartial({
    withDrop: { ...plain, norm: 1 },
    withoutDrop: plain,
    blocks: [{ block: 'head', withoutDrop: { batches: 0, norm: 0 }, wholeSetNorm: 0.5 }],
    wholeSetNorm: 0.75,
  });
  assert.deepEqual(gradientLines(statistics), [
    'GRADIENT OF  DROP     DIRECTION VARIANCE  DIRECTION ERROR  NORM  WHOLE SET  LOSS',
    'model        with                   0.25            0.125     1       0.75   1.5',
    'model        without                0.25            0.125     2       0.75   1.5',
    'head         without                   -                -     0        0.5     -',
  ]);
});

test('a status line stays one line, and nothing in it acts on the terminal', (t) => {
  const { stderr } = process;
  const was = stderr.isTTY;
  t.after(() => {
    stderr.isTTY = was;
  });
  stderr.isTTY = true;
  const write = t.mock.method(stderr, 'write', () => true);
  processTerminal().status('the run waits: a\n\x1b[2Jb');
  const [text] = write.mock.calls[0]!.arguments;
  write.mock.restore();
  assert.equal(text, '\r\x1b[Jthe run waits: a [2Jb');
});
