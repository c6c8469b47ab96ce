/** One attempt to fetch one batch from one replica: the stream's chunks are joined and checked against the header. */
import { createHash } from 'node:crypto';
import { maxClasses } from '#errors/limits.js';
import { type BatchHeader, type GetBatchRequest, PixelFormat } from '#protocol/dropstream/v1/data.js';
import { eraseModes } from '#spec/words.js';
import { payloadBytes } from './batch.js';
import type { Replica } from './replica-set.js';

/** The stream contradicts its header or the plan. The replica or the connection is faulty; another replica may succeed. */
export class DamagedBatch extends Error {
  override readonly name = 'DamagedBatch';
  constructor(
    readonly address: string,
    readonly why: string,
  ) {
    super(`batch from ${address}: ${why}`);
  }
}

export interface Expected {
  readonly planDigest: string;
  readonly inputSize: number;
  readonly batchSize: number;
}

/** Takes memory for a payload of `bytes` bytes, and takes it back when it is not used. */
export interface PayloadMemory {
  take(bytes: number): Uint8Array;
  give(memory: Uint8Array): void;
}

/** @throws DamagedBatch, or the call's error */
export async function fetchBatch(
  replica: Replica,
  request: GetBatchRequest,
  expected: Expected,
  memory: PayloadMemory,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<{ header: BatchHeader; payload: Uint8Array }> {
  let header: BatchHeader | undefined;
  let payload: Uint8Array | undefined;
  let filled = 0;
  const hash = createHash('sha256');
  try {
    for await (const { part } of replica.client.getBatch(request, options)) {
      if (part?.$case === 'header') {
        if (header) throw new DamagedBatch(replica.address, 'the stream has a second header');
        header = part.value;
        checkHeader(replica.address, header, request, expected);
        payload = memory.take(Number(header.payloadBytes));
      } else if (part?.$case === 'chunk') {
        if (!payload) throw new DamagedBatch(replica.address, 'the stream has a chunk before the header');
        if (filled + part.value.byteLength > payload.byteLength)
          throw new DamagedBatch(replica.address, 'it has more bytes than its header says');
        payload.set(part.value, filled);
        hash.update(part.value);
        filled += part.value.byteLength;
      }
    }
    if (!header || !payload) throw new DamagedBatch(replica.address, 'the stream has no header');
    if (filled !== payload.byteLength)
      throw new DamagedBatch(replica.address, `the stream ended after ${filled} of ${payload.byteLength} bytes`);
    if (!hash.digest().equals(header.payloadSha256))
      throw new DamagedBatch(replica.address, 'the SHA-256 of its bytes is not that of its header');
    return { header, payload };
  } catch (error) {
    if (payload) memory.give(payload);
    throw error;
  }
}

function checkHeader(address: string, header: BatchHeader, request: GetBatchRequest, expected: Expected): void {
  const format = request.format === PixelFormat.UNSPECIFIED ? PixelFormat.UINT8 : request.format;
  const slots = header.samples.length;
  const facts: [string, unknown, unknown][] = [
    ['plan_digest', header.planDigest, expected.planDigest],
    ['epoch', header.epoch, request.epoch],
    ['index', header.index, request.index],
    ['format', header.format, format],
    ['size', header.size, expected.inputSize],
    ['channels', header.channels, 3],
    // This check also bounds the memory that a header can request.
    ['payload_bytes', header.payloadBytes, BigInt(payloadBytes(format, slots, expected.inputSize, header.classes))],
  ];
  for (const [field, found, wanted] of facts)
    if (found !== wanted) throw new DamagedBatch(address, `${field} is ${found}, must be ${wanted}`);
  if (slots < 1 || slots > expected.batchSize)
    throw new DamagedBatch(address, `it has ${slots} samples, must be from 1 to ${expected.batchSize}`);
  if (header.classes < 1 || header.classes > maxClasses)
    throw new DamagedBatch(address, `classes is ${header.classes}, must be from 1 to ${maxClasses}`);
  const bad = header.samples.find(({ label, mix }) => label >= header.classes || (mix && mix.partner >= slots));
  const box = header.samples.flatMap(({ erase }) => erase).find(({ mode }) => !eraseModes.has(mode));
  if (box) throw new DamagedBatch(address, `erase mode ${box.mode} is unknown`);
  if (bad) throw new DamagedBatch(address, `label ${bad.label} or partner ${bad.mix?.partner} does not exist`);
}
