/** Values that programs stumble over, by the type of a field. */
import { FieldDescriptorProto_Type as Type } from '@bufbuild/protobuf/wkt';
import type { Damage } from '../fuzz/mutate.js';
import type { Field } from './schema.js';

const LONGEST_TEXT = 100_000;

const INTEGERS = [
  0n,
  1n,
  2n,
  3n,
  7n,
  63n,
  64n,
  127n,
  128n,
  255n,
  256n,
  1000n,
  65535n,
  65536n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 53n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
  // As negative numbers are written.
  (1n << 64n) - 2n,
  (1n << 64n) - (1n << 31n),
];

const DOUBLES = [
  0,
  -0,
  1,
  -1,
  0.5,
  1e-300,
  -1e-300,
  5e-324,
  1e300,
  -1e300,
  Number.MAX_VALUE,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
  Number.EPSILON,
  1 - Number.EPSILON,
  1 + Number.EPSILON,
  2 ** 53,
];

const TEXTS = [
  '',
  ' ',
  '.',
  '..',
  '/',
  '//',
  '../../../../etc/passwd',
  '/etc/passwd',
  'C:\\windows\\win.ini',
  'file:///etc/passwd',
  'http://169.254.169.254/latest/meta-data/',
  's3://bucket/key?endpoint=http://127.0.0.1:1',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'null',
  'undefined',
  'true',
  'NaN',
  '-1',
  '0',
  '1e309',
  '*',
  '%00',
  '%s%n',
  `\${jndi:ldap://x}`,
  '\0',
  'a\0b',
  'a\nb',
  'a\r\nb: c',
  '\u001b[31m',
  '\u202e',
  '\ufeff',
  '\ud7ff\ue000',
  '😀'.repeat(40),
  'ﬀ',
  'İ',
  "' OR 1=1 --",
  '"',
  '{"a":{"__proto__":1}}',
  '('.repeat(2000),
  'NOT '.repeat(2000),
  'a'.repeat(63),
  'a'.repeat(64),
  'a'.repeat(LONGEST_TEXT),
  '-'.repeat(1000),
  'f'.repeat(64),
  'F'.repeat(64),
  'state = RUNNING',
  'labels.__proto__ = "a"',
  'labels.constructor:*',
  'labels.toString desc',
  'create_time desc',
  'uid',
  'rand-m9-mstd0.5-inc1',
  'rand-m1e9-n9999999',
  'rand-__proto__',
  'augmix-m3',
];

/** Bytes that are no UTF-8: a lone continuation, an overlong form, a surrogate half, a beginning without its end. */
const NO_TEXT = [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98], [0xff, 0xfe, 0xfd]];

/** A value of the field's type; `names`: resource names and tokens that exist. */
export function hostileValue(damage: Damage, { type }: Pick<Field, 'type'>, names: readonly string[]): Uint8Array | bigint {
  switch (type) {
    case Type.DOUBLE:
      return number(8, (buffer) => buffer.writeDoubleLE(damage.pick(DOUBLES)));
    case Type.FLOAT:
      return number(4, (buffer) => buffer.writeFloatLE(damage.pick(DOUBLES)));
    case Type.FIXED64:
    case Type.SFIXED64:
      return number(8, (buffer) => buffer.writeBigUInt64LE(damage.pick(INTEGERS)));
    case Type.FIXED32:
    case Type.SFIXED32:
      return number(4, (buffer) => buffer.writeUInt32LE(Number(damage.pick(INTEGERS) & 0xffffffffn)));
    case Type.STRING:
      return damage.chance(0.05) ? Uint8Array.from(damage.pick(NO_TEXT)) : Buffer.from(hostileText(damage, names));
    case Type.BYTES:
      return Uint8Array.from({ length: damage.below(300) }, () => damage.below(256));
    default:
      return damage.chance(0.8) ? damage.pick(INTEGERS) : BigInt(damage.below(1000));
  }
}

function hostileText(damage: Damage, names: readonly string[]): string {
  const shape = damage.below(10);
  const known = names.length === 0 ? 'projects/p' : damage.pick(names);
  if (shape < 4) return known;
  if (shape < 7) return damage.pick(TEXTS);
  const at = damage.below(known.length + 1);
  const piece = damage.pick(TEXTS).slice(0, 200);
  if (shape === 7) return known.slice(0, at) + piece + known.slice(at);
  // One part of a name replaced by something else.
  const parts = known.split('/');
  parts[damage.below(parts.length)] = shape === 8 ? piece : damage.pick(names).split('/').at(-1)!;
  return parts.join('/');
}

function number(bytes: number, write: (buffer: Buffer) => void): Uint8Array {
  const buffer = Buffer.alloc(bytes);
  write(buffer);
  return buffer;
}
