import { StorageError } from './object-store.js';
import { bytesOf, bytesPerElement, DTYPES, elementCount, isDtype, isViewOf, type Tensor, viewAs } from './tensor.js';

/**
 * The safetensors format (huggingface/safetensors): the header's length N as a little-endian u64, N bytes of JSON that start with '{' and may end in
 * spaces, and then the tensors' bytes without gaps. Works only on little-endian machines, which all of Node's releases run on.
 */
export class SafetensorsError extends StorageError {
  constructor(
    /** The tensor that the error is about, if it is about one. */
    readonly tensor: string | undefined,
    why: string,
    cause?: unknown,
  ) {
    super(
      `safetensors${tensor === undefined ? '' : ` tensor ${JSON.stringify(tensor.slice(0, 200))}`}: ${why}`,
      cause === undefined ? undefined : { cause },
    );
  }
}

export interface SafetensorsFile {
  tensors: Tensor[];
  metadata: Record<string, string>;
  /** Tensors of element types that are not read here, where the caller passes over them. */
  foreign: { name: string; dtype: string; shape: readonly number[] }[];
}

const MAX_HEADER_BYTES = 100_000_000;
const PREFIX_BYTES = 8;
/** Levels of nesting in a valid header: the header, a tensor's entry, its shape. */
const MAX_NESTING = 3;
const METADATA = '__metadata__';

/**
 * @returns the header, then each tensor's own memory in the given order; it is not copied, so it must not change while in use
 * @throws SafetensorsError for duplicate names, and for data that does not fit its shape or type
 */
export function encodeSafetensors(tensors: readonly Tensor[], metadata: Readonly<Record<string, string>> = {}): Uint8Array[] {
  // A Map is used because an object would reorder keys such as "1" and lose "__proto__".
  const entries = new Map<string, string>();
  if (Object.keys(metadata).length > 0) entries.set(METADATA, JSON.stringify(metadata));
  let offset = 0;
  for (const { name, dtype, shape, data } of tensors) {
    if (entries.has(name) || name === METADATA) throw new SafetensorsError(name, 'the name is used twice or reserved');
    if (!isViewOf(dtype, data)) throw new SafetensorsError(name, `${dtype} data cannot be a ${data.constructor.name}`);
    if (elementCount(shape) !== data.length)
      throw new SafetensorsError(name, `shape ${inShort(shape)} does not have ${data.length} elements`);
    const end = offset + data.byteLength;
    entries.set(name, JSON.stringify({ dtype, shape, data_offsets: [offset, end] }));
    offset = end;
  }
  const json = `{${[...entries].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
  const jsonBytes = Buffer.byteLength(json);
  const headerBytes = Math.ceil(jsonBytes / 8) * 8;
  if (headerBytes > MAX_HEADER_BYTES)
    throw new SafetensorsError(undefined, `the header has ${headerBytes} bytes, at most ${MAX_HEADER_BYTES} are allowed`);
  const header = Buffer.alloc(PREFIX_BYTES + headerBytes, ' ');
  header.writeBigUInt64LE(BigInt(headerBytes), 0);
  header.write(json, PREFIX_BYTES, 'utf8');
  return [header, ...tensors.map(({ data }) => bytesOf(data))];
}

/**
 * Reads a whole file. Tensors are views of `bytes`, or copies where those are not aligned, in the order of their bytes.
 * @param options foreign: what to do with element types that are not read here; default refuse
 * @throws SafetensorsError for anything that the format forbids; safe for arbitrary bytes
 */
export function decodeSafetensors(bytes: Uint8Array, { foreign = 'refuse' }: { foreign?: 'refuse' | 'pass over' } = {}): SafetensorsFile {
  const header = readHeader(bytes);
  const data = bytes.subarray(PREFIX_BYTES + header.lengthBytes);
  const tensors = header.entries.map(([name, value]) => ({ name, ...checkEntry(name, value, data.byteLength, foreign) }));
  // Empty tensors come first at their offset, so that the next tensor's bytes follow directly.
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const tensor of tensors) {
    if (tensor.begin !== end)
      throw new SafetensorsError(tensor.name, `its bytes begin at ${tensor.begin}, must begin at ${end}: tensors overlap or leave a gap`);
    end = tensor.end;
  }
  if (end !== data.byteLength)
    throw new SafetensorsError(undefined, `tensors end at byte ${end}, but the file's data at byte ${data.byteLength}`);
  return {
    metadata: header.metadata,
    tensors: tensors.flatMap(({ name, dtype, shape, begin, end }) =>
      isDtype(dtype) ? [{ name, dtype, shape, data: viewAs(dtype, data.subarray(begin, end)) }] : [],
    ),
    foreign: tensors.flatMap(({ name, dtype, shape }) => (isDtype(dtype) ? [] : [{ name, dtype, shape }])),
  };
}

function readHeader(bytes: Uint8Array): { lengthBytes: number; entries: [string, unknown][]; metadata: Record<string, string> } {
  if (bytes.byteLength < PREFIX_BYTES + 2) throw new SafetensorsError(undefined, `a file of ${bytes.byteLength} bytes is too short`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, PREFIX_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES))
    throw new SafetensorsError(undefined, `header length is ${length}, at most ${MAX_HEADER_BYTES} is allowed`);
  const lengthBytes = Number(length);
  if (lengthBytes > bytes.byteLength - PREFIX_BYTES)
    throw new SafetensorsError(undefined, `header length is ${length}, which is more than the file has`);
  const raw = bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + lengthBytes);
  if (raw[0] !== 0x7b) throw new SafetensorsError(undefined, "the header does not start with '{'");
  if (nestingBeyond(raw, MAX_NESTING)) throw new SafetensorsError(undefined, `the header is nested deeper than ${MAX_NESTING}`);
  let json: string;
  let value: Record<string, unknown>;
  try {
    json = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
    value = JSON.parse(json) as Record<string, unknown>;
  } catch (error) {
    throw new SafetensorsError(undefined, 'the header is not JSON in UTF-8', error);
  }
  const twice = firstDuplicateKey(json);
  if (twice !== undefined) throw new SafetensorsError(twice, 'the header has this key twice');
  const { [METADATA]: metadata = {}, ...rest } = value;
  if (!isObject(metadata) || Object.values(metadata).some((text) => typeof text !== 'string')) {
    throw new SafetensorsError(undefined, `${METADATA} must be a map of strings`);
  }
  return { lengthBytes, entries: Object.entries(rest), metadata: metadata as Record<string, string> };
}

function checkEntry(name: string, value: unknown, dataBytes: number, foreign: 'refuse' | 'pass over') {
  if (!isObject(value)) throw new SafetensorsError(name, 'its entry must be an object');
  const { dtype, shape, data_offsets: offsets, ...unknown } = value;
  if (Object.keys(unknown).length > 0) throw new SafetensorsError(name, `unknown field ${inShort(Object.keys(unknown)[0])}`);
  const known = isDtype(dtype);
  if (typeof dtype !== 'string' || (!known && (foreign === 'refuse' || !/^[A-Z][A-Z0-9_]{0,19}$/.test(dtype))))
    throw new SafetensorsError(name, `dtype ${inShort(dtype)} is not one of ${DTYPES.join(' ')}`);
  if (!Array.isArray(shape)) throw new SafetensorsError(name, 'shape must be a list of counts');
  const elements = elementCount(shape);
  if (elements === undefined)
    throw new SafetensorsError(name, `shape ${inShort(shape)} must be a list of counts with a product below 2^53`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every((offset) => Number.isSafeInteger(offset) && offset >= 0)) {
    throw new SafetensorsError(name, 'data_offsets must be two byte offsets');
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > dataBytes)
    throw new SafetensorsError(name, `data_offsets ${begin}..${end} are not within the ${dataBytes} bytes of data`);
  if (known && end - begin !== elements * bytesPerElement(dtype))
    throw new SafetensorsError(name, `${end - begin} bytes for ${inShort(shape)} of ${dtype}`);
  return { dtype, shape: shape as number[], begin, end };
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Shortens a value of the header for a message. */
function inShort(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (!Array.isArray(value)) return isObject(value) ? '{…}' : String(value);
  const first = value.slice(0, 8).map((item) => (typeof item === 'number' ? String(item) : typeof item));
  return `[${[...first, ...(value.length > 8 ? ['…'] : [])].join()}]`;
}

/** Checked before parsing, because millions of nested brackets would become millions of objects. @param raw UTF-8, JSON or not */
function nestingBeyond(raw: Uint8Array, deepest: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < raw.length; i++) {
    const byte = raw[i];
    if (byte === 0x22) inString = !inString;
    else if (inString) {
      if (byte === 0x5c) i++;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > deepest) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return false;
}

/** Finds a duplicate key, because JSON.parse silently keeps the last of equal keys. @param json valid JSON */
function firstDuplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let text: string | undefined;
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case 0x7b: // { and [ each push a scope, so that } and ] can pop the same stack
      case 0x5b:
        open.push(undefined);
        break;
      case 0x7d:
      case 0x5d:
        open.pop();
        break;
      case 0x22: {
        const start = i++;
        while (json.charCodeAt(i) !== 0x22) i += json.charCodeAt(i) === 0x5c ? 2 : 1;
        text = json.slice(start, i + 1);
        break;
      }
      case 0x3a: {
        // A colon outside strings follows a key.
        const key = JSON.parse(text!) as string;
        const keys = open[open.length - 1] ?? new Set();
        open[open.length - 1] = keys;
        if (keys.has(key)) return key;
        keys.add(key);
        break;
      }
    }
  }
  return undefined;
}
