/**
 * Python's pickle (protocols 2 to 5) as torch.save writes it for dicts of tensors, settings and whatever lies beside them. It is a stack machine
 * over plain data: no name of the file is imported or called, see pickle-globals.ts. Work and memory are bounded by the number of opcodes.
 */
import { globalOf, PickleGlobal, storageOf } from './pickle-globals.js';
import { NumpyArray, NumpyDtype } from './pickle-numpy.js';
import {
  PickleDict,
  PickleList,
  PickleNamespace,
  PickleOpaque,
  type PickleScalar,
  PickleTuple,
  type PickleValue,
} from './pickle-values.js';
import { PthError } from './pth-error.js';

export const MAX_PICKLE_BYTES = 32 << 20;
const MAX_OPCODES = 4_000_000;
/** Items and bytes that calls and states may copy: a memo can name a large value again and again. A whole file copies each of its bytes about once. */
const MAX_COPIED = 4 * MAX_PICKLE_BYTES;
/** Of an integer, in bytes: learning rates and seeds need eight. */
const MAX_LONG_BYTES = 255;

type Cell = PickleValue | PickleGlobal;

/** @throws PthError with the place of the first opcode that cannot be taken */
export function readPickle(bytes: Uint8Array): PickleValue {
  if (bytes.byteLength > MAX_PICKLE_BYTES)
    throw new PthError(
      'pickle',
      `${bytes.byteLength} bytes, at most ${MAX_PICKLE_BYTES} are allowed: is the data in it rather than beside it?`,
    );
  return new Machine(bytes).run();
}

const opcodes: ReadonlyMap<number, (m: Machine) => void> = new Map<number, (m: Machine) => void>([
  [0x80, (m) => m.protocol(m.u8())],
  [0x95, (m) => void m.u64()], // FRAME: how much a reader may fetch ahead
  [0x28, (m) => m.mark()],
  [0x30, (m) => void m.popMany(1)],
  [0x32, (m) => m.duplicate()],
  [0x31, (m) => void m.sinceMark()],

  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  // BININT1, BININT2, BININT, LONG1, LONG4, BINFLOAT
  [0x4b, (m) => m.push(m.u8())],
  [0x4d, (m) => m.push(m.u16())],
  [0x4a, (m) => m.push(m.i32())],
  [0x8a, (m) => m.push(m.long(m.u8()))],
  [0x8b, (m) => m.push(m.long(m.i32()))],
  [0x47, (m) => m.push(m.f64())],

  // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8, and the same of BINBYTES
  [0x8c, (m) => m.push(m.text(m.u8()))],
  [0x58, (m) => m.push(m.text(m.u32()))],
  [0x8d, (m) => m.push(m.text(m.u64()))],
  [0x43, (m) => m.push(m.raw(m.u8()))],
  [0x42, (m) => m.push(m.raw(m.u32()))],
  [0x8e, (m) => m.push(m.raw(m.u64()))],

  // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
  [0x29, (m) => m.push(m.tuple([]))],
  [0x85, (m) => m.push(m.tuple(m.popMany(1)))],
  [0x86, (m) => m.push(m.tuple(m.popMany(2)))],
  [0x87, (m) => m.push(m.tuple(m.popMany(3)))],
  [0x74, (m) => m.push(m.tuple(m.sinceMark()))],
  // EMPTY_LIST, APPEND, APPENDS
  [0x5d, (m) => m.push(new PickleList())],
  [0x61, (m) => m.append(m.popMany(1))],
  [0x65, (m) => m.append(m.sinceMark())],
  // EMPTY_DICT, SETITEM, SETITEMS
  [0x7d, (m) => m.push(new PickleDict())],
  [0x73, (m) => m.setItems(m.popMany(2))],
  [0x75, (m) => m.setItems(m.sinceMark())],

  // EMPTY_SET, ADDITEMS, FROZENSET, BYTEARRAY8
  [0x8f, (m) => m.push(new PickleOpaque('builtins.set'))],
  [0x90, (m) => void m.sinceMark()],
  [0x91, (m) => m.frozenSet()],
  [0x96, (m) => m.push(m.raw(m.u64()))],

  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  [0x71, (m) => m.put(m.u8())],
  [0x72, (m) => m.put(m.u32())],
  [0x94, (m) => m.memoize()],
  [0x68, (m) => m.get(m.u8())],
  [0x6a, (m) => m.get(m.u32())],

  // GLOBAL, STACK_GLOBAL, REDUCE, NEWOBJ, NEWOBJ_EX, BUILD, BINPERSID
  [0x63, (m) => m.global(m.line(), m.line())],
  [0x93, (m) => m.global(...(m.popMany(2) as [Cell, Cell]))],
  [0x52, (m) => m.reduce()],
  [0x81, (m) => m.newObject()],
  [0x92, (m) => m.newObjectWithKeywords()],
  [0x62, (m) => m.build()],
  [0x51, (m) => m.storage()],
]);

class Machine {
  private readonly view: DataView;
  private readonly stack: Cell[] = [];
  /** Stack heights. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, Cell>();
  private at = 0;
  private copied = 0;
  private opcodeAt = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PickleValue {
    for (let count = 0; count < MAX_OPCODES; count++) {
      this.opcodeAt = this.at;
      const opcode = this.u8();
      if (opcode === 0x2e) return this.stop();
      const execute = opcodes.get(opcode);
      if (execute === undefined)
        this.fail(`opcode 0x${opcode.toString(16).padStart(2, '0')} is not one that torch.save writes for tensors`);
      else execute(this);
    }
    return this.fail(`more than ${MAX_OPCODES} opcodes`);
  }

  private stop(): PickleValue {
    if (this.stack.length !== 1 || this.marks.length !== 0) this.fail(`it ends with ${this.stack.length} values instead of 1`);
    return this.value(this.stack[0]!);
  }

  protocol(version: number): void {
    if (version < 2 || version > 5) this.fail(`protocol ${version}; 2 to 5 are read`);
  }

  mark(): void {
    this.marks.push(this.stack.length);
  }

  memoize(): void {
    this.put(this.memo.size);
  }

  global(module: Cell, name: Cell): void {
    if (typeof module !== 'string' || typeof name !== 'string') this.fail('a Python name that is no text');
    this.push(globalOf(module as string, name as string));
  }

  storage(): void {
    this.push(storageOf(this.popMany(1)[0], this.place()));
  }

  reduce(): void {
    const [callee, args] = this.popMany(2);
    if (!(args instanceof PickleTuple)) this.fail('a call without arguments');
    this.spend(args);
    // What a method of something unknown gives is unknown too.
    if (callee instanceof PickleOpaque) this.push(new PickleOpaque(callee.name));
    else if (!(callee instanceof PickleGlobal)) this.fail('a call of something that is no Python name');
    else this.push(callee.rule.call?.(args.items, this.place()) ?? new PickleOpaque(callee.name));
  }

  newObject(): void {
    const [type, args] = this.popMany(2);
    if (!(type instanceof PickleGlobal) && !(type instanceof PickleOpaque)) this.fail('an object of something that is no class');
    if (!(args instanceof PickleTuple)) this.fail(`a ${type.name} without arguments`);
    const known = type instanceof PickleGlobal && args.items.length === 0 ? type.rule.create?.() : undefined;
    this.push(known ?? new PickleOpaque(type.name));
  }

  newObjectWithKeywords(): void {
    const [type] = this.popMany(3);
    if (!(type instanceof PickleGlobal) && !(type instanceof PickleOpaque)) this.fail('an object of something that is no class');
    this.push(new PickleOpaque(type.name));
  }

  frozenSet(): void {
    this.sinceMark();
    this.push(new PickleOpaque('builtins.frozenset'));
  }

  duplicate(): void {
    this.push(this.top());
  }

  /** Attributes: a namespace's are its fields, an array's its elements; those of anything else mean nothing here. */
  build(): void {
    const state = this.value(this.popMany(1)[0]!);
    const target = this.top();
    this.spend(state);
    if (target instanceof NumpyArray) target.setState(state, this.place());
    else if (target instanceof NumpyDtype) target.setState(state);
    else if (target instanceof PickleNamespace && state instanceof PickleDict)
      for (const [key, value] of state.entries) target.fields.set(key, value);
    else if (!(target instanceof PickleOpaque || target instanceof PickleDict || target instanceof PickleNamespace))
      this.fail('attributes of something that has none');
  }

  /** Counts what a call or a state may copy: the value and what is directly in it. */
  private spend(value: Cell): void {
    this.copied += sizeOf(value);
    if (value instanceof PickleTuple) for (const item of value.items) this.copied += sizeOf(item);
    if (this.copied > MAX_COPIED) this.fail(`values that are used again and again, more than ${MAX_COPIED} items and bytes in all`);
  }

  append(items: readonly Cell[]): void {
    const list = this.top();
    if (list instanceof PickleOpaque) return;
    if (!(list instanceof PickleList)) this.fail('an item for something that is no list');
    for (const item of items) list.items.push(this.value(item));
  }

  setItems(items: readonly Cell[]): void {
    const dict = this.top();
    if (items.length % 2 !== 0) this.fail('a key without a value');
    if (dict instanceof PickleOpaque) return;
    if (!(dict instanceof PickleDict)) this.fail('an item for something that is no dict');
    for (let k = 0; k < items.length; k += 2) {
      const key = items[k];
      // Tuples and the like name no weights.
      if (typeof key === 'object' && key !== null) continue;
      dict.entries.set(key as PickleScalar, this.value(items[k + 1]!));
    }
  }

  put(slot: number): void {
    this.memo.set(slot, this.top());
  }

  get(slot: number): void {
    const found = this.memo.get(slot);
    if (found === undefined) this.fail(`memo ${slot} is empty`);
    this.push(found);
  }

  push(value: Cell): void {
    this.stack.push(value);
  }

  private top(): Cell {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) return this.fail('an empty stack');
    return this.stack.at(-1)!;
  }

  /** The last `count` values, oldest first; never from below a mark. */
  popMany(count: number): Cell[] {
    if (this.stack.length - count < (this.marks.at(-1) ?? 0)) return this.fail('too few values on the stack');
    return this.stack.splice(this.stack.length - count, count);
  }

  sinceMark(): Cell[] {
    const mark = this.marks.pop();
    if (mark === undefined) return this.fail('no mark');
    return this.stack.splice(mark);
  }

  /** Storage classes stand in the tuple of a persistent id, and no other Python name does. */
  tuple(items: readonly Cell[]): PickleTuple {
    const known = (item: Cell) => item instanceof PickleGlobal && item.rule.storage !== undefined;
    return new PickleTuple(items.map((item) => (known(item) ? item : this.value(item))) as readonly PickleValue[]);
  }

  private value(cell: Cell): PickleValue {
    return cell instanceof PickleGlobal ? new PickleOpaque(cell.name) : cell;
  }

  long(length: number): number | bigint {
    if (length < 0 || length > MAX_LONG_BYTES) return this.fail(`an integer of ${length} bytes, at most ${MAX_LONG_BYTES} are allowed`);
    const start = this.take(length);
    let value = 0n;
    for (let k = length - 1; k >= 0; k--) value = (value << 8n) | BigInt(this.bytes[start + k]!);
    const signed = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }

  text(length: number): string {
    const start = this.take(length);
    // Python keeps lone surrogates in its texts (of paths that are not UTF-8); no name of ours has any.
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.bytes.subarray(start, start + length));
  }

  raw(length: number): Uint8Array {
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** A name of a GLOBAL: up to the end of its line. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0 || end - this.at > 1000) return this.fail('a Python name without an end');
    const text = this.text(end - this.at);
    this.at = end + 1;
    return text;
  }

  u8(): number {
    return this.bytes[this.take(1)]!;
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  i32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  f64(): number {
    return this.view.getFloat64(this.take(8), false);
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  u64(): number {
    const value = this.view.getBigUint64(this.take(8), true);
    if (value > BigInt(MAX_PICKLE_BYTES)) return this.fail(`a length of ${value}`);
    return Number(value);
  }

  /** Moves on by so many bytes. @returns where they begin */
  private take(length: number): number {
    const start = this.at;
    if (start + length > this.bytes.byteLength) this.fail('it ends in the middle');
    this.at = start + length;
    return start;
  }

  private place(): string {
    return `pickle at byte ${this.opcodeAt}`;
  }

  private fail(why: string): never {
    throw new PthError(this.place(), why);
  }
}

/** Items or bytes. */
function sizeOf(value: Cell): number {
  if (typeof value === 'string') return value.length;
  if (value instanceof Uint8Array) return value.byteLength;
  if (value instanceof PickleTuple || value instanceof PickleList) return value.items.length;
  return value instanceof PickleDict ? value.entries.size : 1;
}
