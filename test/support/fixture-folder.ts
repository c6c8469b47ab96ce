/** A folder laid out like shared/fixtures: its files, JSON and tensors. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

export interface FixtureTensor {
  shape: number[];
  data: Float64Array | Float32Array | Uint8Array;
}

/** Tensors of one file; a name that is not there is an error. */
export class FixtureTensors {
  constructor(
    private readonly file: string,
    private readonly tensors: ReadonlyMap<string, FixtureTensor>,
  ) {}

  get names(): string[] {
    return [...this.tensors.keys()];
  }

  get(name: string): FixtureTensor {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`${this.file} has no tensor ${name}`);
    return tensor;
  }
}

export class FixtureFolder {
  constructor(readonly root: string) {}

  /** Every file's path inside the folder, with slashes, sorted. */
  files(): string[] {
    return readdirSync(this.root, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(this.root, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .sort();
  }

  path(name: string): string {
    return join(this.root, ...name.split('/'));
  }

  bytes(name: string): Buffer {
    return readFileSync(this.path(name));
  }

  json<T>(name: string): T {
    return JSON.parse(this.bytes(name).toString('utf8')) as T;
  }

  /** All tensors of a .safetensors file. Copies, so any alignment will do. */
  tensors(name: string): FixtureTensors {
    const bytes = this.bytes(name);
    const headerBytes = Number(bytes.readBigUInt64LE(0));
    type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Header;
    const tensors = new Map<string, FixtureTensor>();
    for (const [key, entry] of Object.entries(header)) {
      if (key === '__metadata__') continue;
      const [from, to] = entry.data_offsets.map((offset) => offset + 8 + headerBytes) as [number, number];
      const Typed = { F64: Float64Array, F32: Float32Array, U8: Uint8Array, I64: undefined }[entry.dtype];
      const data = Typed ? new Typed(Uint8Array.from(bytes.subarray(from, to)).buffer) : integers(bytes.subarray(from, to), entry.dtype);
      const size = entry.shape.reduce((a, b) => a * b, 1);
      if (to > bytes.length || data.length !== size) throw new Error(`${name}: ${key} has ${data.length} values for a shape of ${size}`);
      tensors.set(key, { shape: entry.shape, data });
    }
    return new FixtureTensors(name, tensors);
  }
}

/** 64-bit integers as numbers. */
function integers(bytes: Buffer, dtype: string): Float64Array {
  if (dtype !== 'I64') throw new Error(`tensors of ${dtype} are not read`);
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => Number(bytes.readBigInt64LE(8 * i)));
}
