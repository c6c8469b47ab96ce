/**
 * How columns and extremes are stored: a magic word, a length, numbers of 64 bits, and the SHA-256 of all of that. They are made from the records of a log, which
 * never change, so equal objects are made whoever makes them, and one that cannot be read is made anew in memory.
 */
import { createHash } from 'node:crypto';
import type { Extremes } from './extremes.js';
import { metricCount, type StepColumns } from './step-columns.js';

/** What lies in the steps of a chapter: the extremes, and where its blocks begin and end. */
export interface Chapter {
  /** By block; NaN for one without steps. */
  readonly firstSteps: Float64Array;
  readonly lastSteps: Float64Array;
  readonly extremes: Extremes;
}

const MAGIC = 'DSSERIE1';
const HASH_BYTES = 32;
const HEAD_BYTES = 16;

/** The object cannot be used: it was damaged, or a later version has written it. */
export class SeriesUnreadable extends Error {
  override readonly name = 'SeriesUnreadable';
}

export const encodeColumns = ({ steps, values }: StepColumns): Buffer => seal('c', steps.length, [steps, ...values]);

export function decodeColumns(bytes: Buffer): StepColumns {
  const [steps, ...values] = unseal('c', bytes, 1 + metricCount);
  return { steps: steps!, values };
}

export function encodeChapter({ firstSteps, lastSteps, extremes }: Chapter): Buffer {
  const { numbers, metrics } = extremes;
  const all = [numbers, ...metrics.flatMap(({ min, minStep, max, maxStep }) => [min, minStep, max, maxStep])];
  return seal('x', numbers.length, [...all, firstSteps, lastSteps]);
}

export function decodeChapter(bytes: Buffer, blocks: number): Chapter {
  const columns = unseal('x', bytes, 1 + 4 * metricCount, [blocks, blocks]);
  const [numbers, ...rest] = columns;
  const [firstSteps, lastSteps] = rest.slice(4 * metricCount);
  const metrics = Array.from({ length: metricCount }, (_, m) => {
    const [min, minStep, max, maxStep] = rest.slice(4 * m);
    return { min: min!, minStep: minStep!, max: max!, maxStep: maxStep! };
  });
  return { firstSteps: firstSteps!, lastSteps: lastSteps!, extremes: { numbers: numbers!, metrics } };
}

function seal(kind: 'c' | 'x', count: number, columns: readonly Float64Array[]): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MAGIC, 'latin1');
  head.write(kind, 8, 'latin1');
  head.writeUInt32LE(count, 12);
  const body = columns.map((column) => Buffer.from(column.buffer, column.byteOffset, column.byteLength));
  const hash = createHash('sha256').update(head);
  for (const part of body) hash.update(part);
  return Buffer.concat([head, ...body, hash.digest()]);
}

/** @param more lengths of further columns */
function unseal(kind: 'c' | 'x', bytes: Buffer, columns: number, more: readonly number[] = []): Float64Array[] {
  const end = bytes.length - HASH_BYTES;
  const isSealed = end >= HEAD_BYTES && createHash('sha256').update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end));
  if (!isSealed || bytes.toString('latin1', 0, 9) !== MAGIC + kind) throw new SeriesUnreadable('not an object of a series');
  const count = bytes.readUInt32LE(12);
  const lengths = [...Array.from({ length: columns }, () => count), ...more];
  if (end !== HEAD_BYTES + 8 * lengths.reduce((sum, length) => sum + length, 0))
    throw new SeriesUnreadable('an object of a series of another length');
  let at = HEAD_BYTES;
  return lengths.map((length) => {
    // A copy, because numbers of 64 bits lie at multiples of 8 in memory.
    const column = new Float64Array(length);
    bytes.copy(Buffer.from(column.buffer), 0, at, at + 8 * length);
    at += 8 * length;
    return column;
  });
}
