/** Writes .pth files for tests: a stored zip and a pickle of protocol 2, as torch.save makes them, plus whatever a test wants wrong. */
import { bytesOf, type Tensor, type TensorData } from '#storage/tensor.js';

const storageNames: Partial<Record<Tensor['dtype'], string>> = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  I32: 'IntStorage',
  U8: 'ByteStorage',
  BOOL: 'BoolStorage',
};

/** A tensor in the pickle; `strides`, `offset` default to those of a contiguous one that is its whole storage. */
export class PthTensor {
  constructor(
    readonly dtype: Tensor['dtype'],
    readonly shape: readonly number[],
    readonly data: TensorData,
    readonly view: { strides?: readonly number[]; offset?: number; parameter?: boolean } = {},
  ) {}
}
export class PyNamespace {
  constructor(readonly fields: Readonly<Record<string, PyValue>>) {}
}
export class PyTuple {
  constructor(readonly items: readonly PyValue[]) {}
}
/** Raw opcodes in the place of a value. */
export class PyRaw {
  constructor(readonly opcodes: Uint8Array) {}
}
export type PyValue =
  | null
  | boolean
  | number
  | string
  | PthTensor
  | PyNamespace
  | PyTuple
  | PyRaw
  | readonly PyValue[]
  | Map<PyValue, PyValue>
  | PyDict;
export interface PyDict {
  readonly [key: string]: PyValue;
}

export interface PickledParts {
  pickle: Buffer;
  /** By key. */
  storages: Map<string, Uint8Array>;
}

/** A Map becomes an OrderedDict, a plain object a dict, an array a list. */
export function pickle(value: PyValue): PickledParts {
  const out: Buffer[] = [Buffer.from([0x80, 2])];
  const storages = new Map<string, Uint8Array>();
  const op = (code: string | number, ...rest: Uint8Array[]) => {
    out.push(typeof code === 'string' ? Buffer.from(code, 'latin1') : Buffer.from([code]), ...rest.map((bytes) => Buffer.from(bytes)));
  };
  const u32 = (n: number) => Buffer.from(Uint32Array.of(n).buffer);
  const orderedDict = () => op('ccollections\nOrderedDict\n)R');
  const entries = (all: Iterable<[PyValue, PyValue]>) => {
    op('(');
    for (const [key, item] of all) {
      write(key);
      write(item);
    }
    op('u');
  };
  const tuple = (items: readonly PyValue[]) => {
    op('(');
    for (const item of items) write(item);
    op('t');
  };
  const write = (v: PyValue): void => {
    if (v === null) op('N');
    else if (typeof v === 'boolean') op(v ? 0x88 : 0x89);
    else if (typeof v === 'string') op('X', u32(Buffer.byteLength(v)), Buffer.from(v));
    else if (typeof v === 'number') {
      if (Number.isInteger(v) && v >= 0 && v < 256) op('K', Uint8Array.of(v));
      else if (Number.isInteger(v) && v === (v | 0)) op('J', Buffer.from(Int32Array.of(v).buffer));
      else op('G', Buffer.from(Float64Array.of(v).buffer).reverse());
    } else if (v instanceof PyRaw) op('', v.opcodes);
    else if (v instanceof PyTuple) tuple(v.items);
    else if (v instanceof PyNamespace) {
      op('cargparse\nNamespace\n)');
      op(0x81);
      op('}');
      entries(Object.entries(v.fields));
      op('b');
    } else if (v instanceof PthTensor) {
      const key = String(storages.size);
      storages.set(key, bytesOf(v.data));
      if (v.view.parameter) op('ctorch._utils\n_rebuild_parameter\n(');
      op('ctorch._utils\n_rebuild_tensor_v2\n((');
      write('storage');
      op(`ctorch\n${storageNames[v.dtype]}\n`);
      write(key);
      write('cpu');
      write(v.data.length);
      op('tQ');
      write(v.view.offset ?? 0);
      tuple(v.shape);
      tuple(v.view.strides ?? v.shape.map((_, k) => v.shape.slice(k + 1).reduce((a, b) => a * b, 1)));
      op(0x89);
      orderedDict();
      op('tR');
      if (v.view.parameter) {
        op(0x88);
        orderedDict();
        op('tR');
      }
    } else if (Array.isArray(v)) {
      op('](');
      for (const item of v as readonly PyValue[]) write(item);
      op('e');
    } else if (v instanceof Map) {
      orderedDict();
      entries(v);
    } else {
      op('}');
      entries(Object.entries(v as PyDict));
    }
  };
  write(value);
  op('.');
  return { pickle: Buffer.concat(out), storages };
}

export interface ZipOptions {
  /** Write the directory's end as zip64, and every entry's sizes. */
  zip64?: boolean;
  method?: number;
  flags?: number;
}

/** A zip of stored entries, each aligned to 64 bytes by its extra field, as torch does. */
export function zip(entries: Iterable<readonly [string, Uint8Array]>, { zip64 = false, method = 0, flags = 0 }: ZipOptions = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  let count = 0;
  for (const [name, data] of entries) {
    const nameBytes = Buffer.from(name);
    const pad = (64 - ((at + 30 + nameBytes.length + 4) % 64)) % 64;
    const extra = Buffer.alloc(4 + pad);
    extra.write('FB', 'latin1');
    extra.writeUInt16LE(pad, 2);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(data.byteLength, 18);
    local.writeUInt32LE(data.byteLength, 22);
    local.writeUInt16LE(nameBytes.length, 26);
    local.writeUInt16LE(extra.length, 28);
    parts.push(local, nameBytes, extra, Buffer.from(data));
    const large = Buffer.alloc(zip64 ? 28 : 0);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(flags, 8);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(zip64 ? 0xffffffff : data.byteLength, 20);
    entry.writeUInt32LE(zip64 ? 0xffffffff : data.byteLength, 24);
    entry.writeUInt16LE(nameBytes.length, 28);
    entry.writeUInt16LE(large.length, 30);
    entry.writeUInt32LE(zip64 ? 0xffffffff : at, 42);
    if (zip64) {
      large.writeUInt16LE(1, 0);
      large.writeUInt16LE(24, 2);
      large.writeBigUInt64LE(BigInt(data.byteLength), 4);
      large.writeBigUInt64LE(BigInt(data.byteLength), 12);
      large.writeBigUInt64LE(BigInt(at), 20);
    }
    directory.push(entry, nameBytes, large);
    at += 30 + nameBytes.length + extra.length + data.byteLength;
    count++;
  }
  const sizeBytes = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(zip64 ? 0xffff : count, 8);
  end.writeUInt16LE(zip64 ? 0xffff : count, 10);
  end.writeUInt32LE(zip64 ? 0xffffffff : sizeBytes, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : at, 16);
  const large = Buffer.alloc(zip64 ? 76 : 0);
  if (zip64) {
    large.writeUInt32LE(0x06064b50, 0);
    large.writeBigUInt64LE(44n, 4);
    large.writeBigUInt64LE(BigInt(count), 24);
    large.writeBigUInt64LE(BigInt(count), 32);
    large.writeBigUInt64LE(BigInt(sizeBytes), 40);
    large.writeBigUInt64LE(BigInt(at), 48);
    large.writeUInt32LE(0x07064b50, 56);
    large.writeBigUInt64LE(BigInt(at + sizeBytes), 64);
    large.writeUInt32LE(1, 72);
  }
  return Buffer.concat([...parts, ...directory, large, end]);
}

/** torch.save(value). `extra` entries stand beside the pickle, under the archive's name. */
export function writePth(value: PyValue, options: ZipOptions & { extra?: Record<string, Uint8Array> } = {}): Buffer {
  const { pickle: data, storages } = pickle(value);
  return zipOf(data, storages, options);
}

export function zipOf(
  data: Uint8Array,
  storages: ReadonlyMap<string, Uint8Array>,
  { extra = { byteorder: Buffer.from('little') }, ...options }: ZipOptions & { extra?: Record<string, Uint8Array> } = {},
): Buffer {
  return zip(
    [
      ['archive/data.pkl', data] as const,
      ...Object.entries(extra).map(([name, bytes]) => [`archive/${name}`, bytes] as const),
      ...[...storages].map(([key, bytes]) => [`archive/data/${key}`, bytes] as const),
      ['archive/version', Buffer.from('3\n')] as const,
    ],
    options,
  );
}
