import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EnvelopeReader, envelope } from './envelopes.js';

const ended = (json: unknown): Uint8Array => {
  const bytes = envelope(json);
  bytes[0] = 2;
  return bytes;
};

test('messages are the same, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 6 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
      (messages, lengths) => {
        const all = Buffer.concat([...messages.map(envelope), ended({})]);
        const reader = new EnvelopeReader();
        const found = [];
        for (let at = 0; at < all.length; ) {
          const length = lengths.next().value as number;
          found.push(...reader.push(new Uint8Array(all.subarray(at, at + length))));
          at += length;
        }
        assert.deepEqual(
          found.filter(({ end }) => !end).map(({ json }) => json),
          JSON.parse(JSON.stringify(messages)),
        );
        assert.equal(found.at(-1)?.end, true);
        assert.equal(reader.incomplete, false);
      },
    ),
  );
});

test('a length that is too large is refused before it is waited for', () => {
  assert.throws(() => new EnvelopeReader().push(Uint8Array.of(0, 255, 255, 255, 255)), /more than/);
});

test('a stream that ends in the middle of a message is known', () => {
  const reader = new EnvelopeReader();
  reader.push(envelope({ a: 1 }).subarray(0, 7));
  assert.equal(reader.incomplete, true);
});
