import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BatchHeader, BatchSample, GetBatchResponse, MixParameters } from '#protocol/dropstream/v1/data.js';
import { BatchMemory, CHUNK_BYTES, readBatchPart, writeBatchPart } from './batch-message.js';

/** Copies the bytes, as the transport does before the next message is serialized. */
const written = (message: GetBatchResponse) => Buffer.from(writeBatchPart(message));
const generated = (message: GetBatchResponse) => Buffer.from(GetBatchResponse.encode(message).finish());
const chunk = (value: Buffer): GetBatchResponse => ({ part: { $case: 'chunk', value } });

/** Lengths around every change of a varint's length, and of one to four chunks. */
const lengths = fc.oneof(
  fc.nat(300),
  fc.constantFrom(127, 128, 16_383, 16_384, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2_097_151, 2_097_152, 3 * CHUNK_BYTES + 77),
);
const filled = (bytes: number, seed: number) =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >>> 8) * seed) & 0xff));

test('a payload in chunks is byte for byte what the generated code writes, and reads back', () => {
  fc.assert(
    fc.property(lengths, fc.nat(255), (bytes, seed) => {
      const memory = new BatchMemory(bytes);
      const expected = filled(bytes, seed);
      memory.payload.set(expected);
      const messages: Buffer[] = [];
      let at = 0;
      for (const message of memory.chunks()) {
        const end = Math.min(bytes, at + CHUNK_BYTES);
        const sent = written(message);
        assert.ok(sent.equals(generated(chunk(expected.subarray(at, end)))), `bytes ${at} to ${end} of ${bytes}`);
        messages.push(sent);
        at = end;
      }
      assert.equal(at, bytes);
      const parts = messages.map((sent) => readBatchPart(sent).part);
      assert.ok(Buffer.concat(parts.map((part) => (part?.$case === 'chunk' ? part.value : Buffer.alloc(0)))).equals(expected));
    }),
    { numRuns: 60 },
  );
});

test('serializing a chunk copies nothing of it', () => {
  const memory = new BatchMemory(CHUNK_BYTES + 5);
  for (const message of memory.chunks()) {
    assert.equal(writeBatchPart(message).buffer, memory.payload.buffer);
    const sent = written(message);
    const { part } = readBatchPart(sent);
    assert.equal(part?.$case === 'chunk' && part.value.buffer, sent.buffer);
  }
});

test('headers, chunks in other memory and empty messages are encoded as by the generated code', () => {
  const header = fc.record({
    planDigest: fc.string(),
    epoch: fc.nat(),
    batchesPerEpoch: fc.nat(),
    firstPosition: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    payloadBytes: fc.bigInt({ min: 0n, max: 2n ** 40n }),
    payloadSha256: fc.uint8Array({ maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
    mean: fc.array(fc.double({ noNaN: true }), { maxLength: 3 }),
    samples: fc.array(
      fc
        .record({
          sample: fc.bigInt({ min: 0n, max: 2n ** 40n }),
          label: fc.nat(1000),
          mix: fc.option(
            fc
              .record({ partner: fc.nat(127), lambda: fc.float({ noNaN: true }), cutmix: fc.boolean() })
              .map((mix) => ({ ...MixParameters.create(), ...mix })),
            { nil: undefined },
          ),
        })
        .map((sample) => ({ ...BatchSample.create(), ...sample })),
      { maxLength: 20 },
    ),
  });
  const messages = fc.oneof(
    header.map((value): GetBatchResponse => ({ part: { $case: 'header', value: { ...BatchHeader.create(), ...value } } })),
    fc.uint8Array({ maxLength: 400 }).map((bytes) => chunk(Buffer.from(bytes))),
    fc.constant<GetBatchResponse>({ part: undefined }),
  );
  fc.assert(
    fc.property(messages, (message) => {
      assert.ok(written(message).equals(generated(message)));
      assert.deepEqual(readBatchPart(generated(message)), GetBatchResponse.decode(generated(message)));
    }),
  );
});

test('any bytes give the same message as with the generated code, or an error from both', () => {
  const outcome = (read: () => GetBatchResponse) => {
    try {
      return read();
    } catch {
      return 'refused';
    }
  };
  // Chunks with something before, after or instead of them: unknown fields, a second chunk, a wrong length.
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.uint8Array({ maxLength: 40 }).map((tail) => Uint8Array.from([0x12, ...tail])),
    fc
      .array(fc.uint8Array({ maxLength: 10 }), { maxLength: 3 })
      .map((chunks) => Uint8Array.from(chunks.flatMap((one) => [...generated(chunk(Buffer.from(one)))]))),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      const buffer = Buffer.from(input);
      assert.deepEqual(
        outcome(() => readBatchPart(buffer)),
        outcome(() => GetBatchResponse.decode(buffer)),
      );
    }),
    { numRuns: 2000 },
  );
});
