import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { classDifference } from './class-difference.js';

test('the classes that differ are named, the first few of each kind', () => {
  const cases: [readonly string[], readonly string[], string | undefined][] = [
    [['a', 'b'], ['a', 'b'], undefined],
    [['a'], ['a', 'b'], 'lacks "b"'],
    [['a', 'b'], ['a'], 'has "b" in addition'],
    [['cat', 'dog'], ['cat', 'bird'], 'lacks "bird" and has "dog" in addition'],
    [[], ['v', 'w', 'x', 'y', 'z'], 'lacks "v", "w", "x" and 2 more'],
    [['a', 'c', 'b'], ['a', 'b', 'c'], 'has the same classes in another order: class 1 is "c" instead of "b"'],
    [['a', 'a'], ['a'], 'has 2 classes instead of 1'],
    [['a'], ['a', 'a'], 'has 1 classes instead of 2'],
    [['n'.repeat(40)], [], `has "${'n'.repeat(23)}…" in addition`],
  ];
  for (const [classes, wanted, text] of cases) assert.equal(classDifference(classes, wanted), text);
});

test('there is a difference exactly if the lists differ, and its text is short', () => {
  const names = fc.array(fc.oneof(fc.constantFrom('a', 'b', 'c'), fc.string({ unit: 'grapheme', maxLength: 100 })), { maxLength: 6 });
  fc.assert(
    fc.property(names, names, (classes, wanted) => {
      const text = classDifference(classes, wanted);
      assert.equal(text === undefined, JSON.stringify(classes) === JSON.stringify(wanted));
      assert.ok((text ?? '').length < 1000);
    }),
  );
});
