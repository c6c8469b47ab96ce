import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parameterPlaces } from './arena.js';
import { piecesOf } from './transfer.js';

test('pieces hold every element of the parameters once, where it is on the device, and none is too large', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 5 }), fc.func(fc.boolean()), (sizes, most64, chosen) => {
      const [places, most] = [parameterPlaces(sizes), most64 * 64];
      const parameters = sizes.map((_, index) => index).filter(chosen);
      const seen = parameters.map((parameter) => new Array<number>(sizes[parameter]!).fill(0));
      for (const { offset, floats, copies } of piecesOf(places, parameters, most)) {
        assert.ok(floats <= most && offset + floats <= places.floats);
        for (const { array, begin, at, length } of copies) {
          assert.ok(at + length <= floats);
          assert.equal(offset + at, places.offsets[parameters[array]!]! + begin);
          for (let i = 0; i < length; i++) seen[array]![begin + i]!++;
        }
      }
      assert.ok(seen.flat().every((times) => times === 1));
    }),
  );
  assert.throws(() => piecesOf(parameterPlaces([1, 2]), [2]), /there is no parameter 2/);
});
