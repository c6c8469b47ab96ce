/** Messages as trees of what is on the wire, so that they can be written in ways that no generated code would write them. */
import { FieldDescriptorProto_Type as Type } from '@bufbuild/protobuf/wkt';
import type { Field, Schema } from './schema.js';

/** Wire types: 0 varint, 1 eight bytes, 2 bytes with their length, 5 four bytes. */
export type WireType = 0 | 1 | 2 | 5;

export interface Entry {
  readonly number: number;
  readonly wire: WireType;
  /** A submessage, bytes (wire types 1, 2 and 5), or a varint of up to 64 bits. */
  value: Tree | Uint8Array | bigint;
  /** Undefined: the schema has no such field. */
  readonly field: Field | undefined;
  /** Added to the length that is written; 0 for a correct one. */
  lengthOff: number;
}

export interface Tree {
  /** Full name with a dot before it. */
  readonly type: string;
  readonly entries: Entry[];
}

export const isTree = (value: Entry['value']): value is Tree => typeof value === 'object' && 'type' in value;

export function wireTypeOf({ type }: Field): WireType {
  switch (type) {
    case Type.DOUBLE:
    case Type.FIXED64:
    case Type.SFIXED64:
      return 1;
    case Type.FLOAT:
    case Type.FIXED32:
    case Type.SFIXED32:
      return 5;
    case Type.STRING:
    case Type.BYTES:
    case Type.MESSAGE:
      return 2;
    default:
      return 0;
  }
}

/** The tree of a valid message. Packed lists stay bytes. */
export function parse(schema: Schema, type: string, bytes: Uint8Array): Tree {
  const fields = schema.message(type);
  const entries: Entry[] = [];
  let at = 0;
  const varint = (): bigint => {
    for (let [shift, value] = [0n, 0n]; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Uint8Array => {
    at += length;
    return bytes.slice(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const [number, wire] = [tag >> 3, (tag & 7) as WireType];
    const field = fields.get(number);
    const raw = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint()));
    const value = typeof raw === 'object' && field?.type === Type.MESSAGE ? parse(schema, field.typeName, raw) : raw;
    entries.push({ number, wire, value, field, lengthOff: 0 });
  }
  return { type, entries };
}

export function encode(tree: Tree): Buffer {
  const parts: Uint8Array[] = [];
  for (const { number, wire, value, lengthOff } of tree.entries) {
    parts.push(varintBytes((BigInt(number) << 3n) | BigInt(wire)));
    if (typeof value === 'bigint') {
      parts.push(varintBytes(value));
      continue;
    }
    const bytes = isTree(value) ? encode(value) : value;
    if (wire === 2) parts.push(varintBytes(BigInt(Math.max(0, bytes.length + lengthOff))));
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

export function varintBytes(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let left = BigInt.asUintN(64, value); ; left >>= 7n) {
    const low = Number(left & 0x7fn);
    if (left < 0x80n) {
      bytes.push(low);
      return Uint8Array.from(bytes);
    }
    bytes.push(low | 0x80);
  }
}

export function copy(tree: Tree): Tree {
  return {
    type: tree.type,
    entries: tree.entries.map((entry) => ({ ...entry, value: isTree(entry.value) ? copy(entry.value) : entry.value })),
  };
}
