/** A request with one to a few faults: in its values, in its structure, or in its bytes. */
import { FieldDescriptorProto_Type as Type } from '@bufbuild/protobuf/wkt';
import type { Damage } from '../fuzz/mutate.js';
import type { Field, Schema } from './schema.js';
import { hostileValue } from './values.js';
import { copy, type Entry, encode, isTree, type Tree, varintBytes, wireTypeOf } from './wire.js';

const MOST_COPIES = 300;
const DEEPEST = 60;

export function mutateRequest(schema: Schema, damage: Damage, seeds: readonly Tree[], names: readonly string[]): Buffer {
  const tree = copy(damage.pick(seeds));
  for (let changes = 1 + damage.below(damage.chance(0.6) ? 2 : 6); changes > 0; changes--) change(schema, damage, tree, names);
  const bytes = encode(tree);
  return damage.chance(0.15) ? damage.apply(bytes, encode(damage.pick(seeds))) : bytes;
}

/** A tree of the message, itself or one below it. */
function somewhere(damage: Damage, tree: Tree): Tree {
  const below = tree.entries.map(({ value }) => value).filter(isTree);
  return below.length > 0 && damage.chance(0.6) ? somewhere(damage, damage.pick(below)) : tree;
}

function change(schema: Schema, damage: Damage, root: Tree, names: readonly string[]): void {
  const tree = somewhere(damage, root);
  const { entries } = tree;
  const fields = [...schema.message(tree.type).values()];
  const entry = entries.length === 0 ? undefined : damage.pick(entries);
  const kind = damage.below(16);
  if (kind < 6 && entry && !isTree(entry.value)) {
    entry.value = hostileValue(damage, elementOf(entry), names);
  } else if (kind < 9 && fields.length > 0) {
    // A field that was not there, or a second one that contradicts the first, or the other case of a oneof.
    insert(damage, entries, made(schema, damage, damage.pick(fields), names, 0));
  } else if (kind === 9 && entry) {
    entries.splice(entries.indexOf(entry), 1);
  } else if (kind === 10 && entry) {
    insert(damage, entries, { ...entry, value: isTree(entry.value) ? copy(entry.value) : entry.value });
  } else if (kind === 11 && entry) {
    const copies = damage.below(damage.chance(0.8) ? 5 : MOST_COPIES);
    for (let i = 0; i < copies; i++) entries.push({ ...entry });
  } else if (kind === 12) {
    // A field that nobody knows, with any wire type.
    const wire = damage.pick([0, 1, 2, 5] as const);
    const value = wire === 0 ? 1n : new Uint8Array(wire === 1 ? 8 : wire === 5 ? 4 : damage.below(50));
    insert(damage, entries, { number: damage.pick([99, 1000, 18_999, 19_000, 536_870_911]), wire, value, field: undefined, lengthOff: 0 });
  } else if (kind === 13 && entry) {
    // The right field with the wrong wire type.
    const wire = damage.pick([0, 1, 2, 5] as const);
    const value = wire === 0 ? 1n : new Uint8Array(wire === 1 ? 8 : wire === 5 ? 4 : 3);
    entries[entries.indexOf(entry)] = { ...entry, wire, value };
  } else if (kind === 14 && entry) {
    entry.lengthOff = damage.pick([-1, 1, 2, 100, 1 << 20, 2 ** 31, 2 ** 32 - 1]);
  } else if (kind === 15) {
    // Messages in messages: where the schema has no such place, in an unknown field.
    let value: Uint8Array = new Uint8Array();
    for (let depth = 1 + damage.below(DEEPEST); depth > 0; depth--)
      value = Buffer.concat([varintBytes(BigInt((damage.pick([1, 2, 3, 19]) << 3) | 2)), varintBytes(BigInt(value.length)), value]);
    insert(damage, entries, { number: 1 + damage.below(20), wire: 2, value, field: undefined, lengthOff: 0 });
  }
}

/** A packed list becomes any bytes, which are read as a list of its type. What is not known is taken for a text or a number. */
function elementOf({ field, wire }: Entry): Pick<Field, 'type'> {
  if (field === undefined) return { type: wire === 2 ? Type.STRING : wire === 0 ? Type.UINT64 : Type.BYTES };
  return wire === 2 && field.repeated && field.type !== Type.STRING ? { type: Type.BYTES } : field;
}

function made(schema: Schema, damage: Damage, field: Field, names: readonly string[], depth: number): Entry {
  const shared = { number: field.number, field, lengthOff: 0 };
  if (field.type !== Type.MESSAGE) return { ...shared, wire: wireTypeOf(field), value: hostileValue(damage, field, names) };
  const fields = [...schema.message(field.typeName).values()];
  const entries = fields.filter(() => depth < 4 && damage.chance(0.3)).map((inner) => made(schema, damage, inner, names, depth + 1));
  return { ...shared, wire: 2, value: { type: field.typeName, entries } };
}

function insert(damage: Damage, entries: Entry[], entry: Entry): void {
  entries.splice(damage.below(entries.length + 1), 0, entry);
}
