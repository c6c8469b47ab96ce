import { createHash } from 'node:crypto';
import { isSha256 } from './content-hash.js';

/**
 * JSON whose last field is the SHA-256 of its own text without that field. A reader notices any changed byte, even where the JSON stays valid.
 */
export class SealBroken extends Error {
  override readonly name = 'SealBroken';
  constructor(
    /** SHA-256 in hexadecimal, or a description of what was expected. */
    readonly expected: string,
    readonly actual: string,
  ) {
    super(`expected ${expected}, found ${actual}`);
  }
}

const HASH_LENGTH = 64;

/** @param value an object with at least one field, none of them named `field` */
export function sealJson(value: object, field: string): { bytes: Buffer; sha256: string } {
  const body = JSON.stringify(value);
  if (body === '{}' || Object.hasOwn(value, field))
    throw new TypeError(`the value must be an object with at least one field, and none named ${field}`);
  const sha256 = hashOf(body);
  return { bytes: Buffer.from(`${body.slice(0, -1)}${tail(field, sha256)}`), sha256 };
}

/** @returns the value that was sealed. @throws SealBroken */
export function unsealJson(bytes: Buffer, field: string): { value: unknown; sha256: string } {
  const end = tail(field, '0'.repeat(HASH_LENGTH));
  const at = bytes.length - end.length;
  const expected = bytes.toString('latin1', Math.max(0, bytes.length - 2 - HASH_LENGTH), Math.max(0, bytes.length - 2));
  if (at < 1 || !isSha256(expected) || bytes.toString('latin1', at) !== tail(field, expected)) {
    throw new SealBroken(`JSON that ends in its ${field}`, 'other text');
  }
  const body = Buffer.concat([bytes.subarray(0, at), Buffer.from('}')]);
  const actual = hashOf(body);
  if (actual !== expected) throw new SealBroken(expected, actual);
  return { value: JSON.parse(body.toString('utf8')), sha256: actual };
}

const tail = (field: string, sha256: string): string => `,${JSON.stringify(field)}:"${sha256}"}`;

const hashOf = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');
