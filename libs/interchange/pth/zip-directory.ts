/**
 * The zip files that torch.save writes (PKWARE APPNOTE 4.3): stored entries only, zip64 where large. Every number is checked against the
 * file before it is used. CRC-32 is not checked: torch can be told not to compute it, and does not check it either.
 */
import type { ByteSource } from '../byte-source.js';
import { PthError, quoted } from './pth-error.js';

export interface ZipEntry {
  readonly name: string;
  readonly sizeBytes: number;
  /** Of the local header. */
  readonly headerOffset: number;
}

const MAX_DIRECTORY_BYTES = 64 << 20;
const MAX_ENTRIES = 200_000;
const MAX_COMMENT_BYTES = 65_535;

const END = { signature: 0x06054b50, bytes: 22 };
const END64 = { signature: 0x06064b50, bytes: 56 };
const LOCATOR64 = { signature: 0x07064b50, bytes: 20 };
const ENTRY = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const ZIP64_EXTRA = 1;
const ALL_ONES_32 = 0xffffffff;

/** The entries by name. @throws PthError */
export async function readZipDirectory(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const { offset, sizeBytes, entries: count } = await findDirectory(source);
  const bytes = await source.read(offset, sizeBytes);
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let k = 0; k < count; k++) {
    if (at + ENTRY.bytes > sizeBytes || view.getUint32(at, true) !== ENTRY.signature)
      throw new PthError('zip directory', `entry ${k} of ${count} is not there`);
    const nameBytes = view.getUint16(at + 28, true);
    const extraBytes = view.getUint16(at + 30, true);
    const next = at + ENTRY.bytes + nameBytes + extraBytes + view.getUint16(at + 32, true);
    if (next > sizeBytes) throw new PthError('zip directory', `entry ${k} reaches beyond the directory`);
    const name = decodeName(bytes.subarray(at + ENTRY.bytes, at + ENTRY.bytes + nameBytes), k);
    const part = `zip entry ${quoted(name)}`;
    if ((view.getUint16(at + 8, true) & 1) !== 0) throw new PthError(part, 'it is encrypted');
    const method = view.getUint16(at + 10, true);
    if (method !== 0) throw new PthError(part, `compression method ${method}; torch stores entries uncompressed, nothing else is read`);
    const extra = view64(bytes.subarray(at + ENTRY.bytes + nameBytes, at + ENTRY.bytes + nameBytes + extraBytes), part);
    const size = extra(view.getUint32(at + 24, true));
    const packed = extra(view.getUint32(at + 20, true));
    const headerOffset = extra(view.getUint32(at + 42, true));
    if (size !== packed) throw new PthError(part, `${packed} bytes stored for ${size}`);
    if (headerOffset + LOCAL.bytes + size > offset) throw new PthError(part, `bytes ${headerOffset} + ${size} lie beyond the file's data`);
    if (entries.has(name)) throw new PthError(part, 'it is there twice');
    entries.set(name, { name, sizeBytes: size, headerOffset });
    at = next;
  }
  return entries;
}

/** Where an entry's bytes begin. @throws PthError where its local header is not the directory's */
export async function dataOffset(source: ByteSource, { name, sizeBytes, headerOffset }: ZipEntry): Promise<number> {
  const part = `zip entry ${quoted(name)}`;
  if (headerOffset + LOCAL.bytes > source.sizeBytes) throw new PthError(part, 'its header lies beyond the file');
  const header = viewOf(await source.read(headerOffset, LOCAL.bytes));
  if (header.getUint32(0, true) !== LOCAL.signature) throw new PthError(part, 'its header is not there');
  if (header.getUint16(8, true) !== 0) throw new PthError(part, 'its header says compressed, the directory stored');
  // The name's length is that of the directory; the extra field is not: torch pads with it.
  if (header.getUint16(26, true) !== Buffer.byteLength(name)) throw new PthError(part, 'its header has another name');
  const start = headerOffset + LOCAL.bytes + header.getUint16(26, true) + header.getUint16(28, true);
  if (start + sizeBytes > source.sizeBytes) throw new PthError(part, `${sizeBytes} bytes from ${start} lie beyond the file`);
  return start;
}

interface Directory {
  offset: number;
  sizeBytes: number;
  entries: number;
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailBytes = Math.min(source.sizeBytes, END.bytes + MAX_COMMENT_BYTES);
  const tailOffset = source.sizeBytes - tailBytes;
  const tail = viewOf(await source.read(tailOffset, tailBytes));
  let at = tailBytes - END.bytes;
  while (at >= 0 && !(tail.getUint32(at, true) === END.signature && at + END.bytes + tail.getUint16(at + 20, true) === tailBytes)) at--;
  if (at < 0) throw new PthError('', 'it ends without a zip directory: cut short, or not written by torch.save');
  const found = {
    entries: tail.getUint16(at + 10, true),
    sizeBytes: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  const isZip64 = found.entries === 0xffff || found.sizeBytes === ALL_ONES_32 || found.offset === ALL_ONES_32;
  const directory = isZip64 ? await readEnd64(source, tailOffset + at) : found;
  const { offset, sizeBytes, entries } = directory;
  if (offset + sizeBytes > tailOffset + at)
    throw new PthError('zip directory', `${sizeBytes} bytes from ${offset} lie beyond its end record`);
  if (sizeBytes > MAX_DIRECTORY_BYTES)
    throw new PthError('zip directory', `${sizeBytes} bytes, at most ${MAX_DIRECTORY_BYTES} are allowed`);
  if (entries > MAX_ENTRIES) throw new PthError('zip directory', `${entries} entries, at most ${MAX_ENTRIES} are allowed`);
  return directory;
}

async function readEnd64(source: ByteSource, endOffset: number): Promise<Directory> {
  const locatorOffset = endOffset - LOCATOR64.bytes;
  if (locatorOffset < 0) throw new PthError('zip directory', 'its zip64 locator is not there');
  const locator = viewOf(await source.read(locatorOffset, LOCATOR64.bytes));
  if (locator.getUint32(0, true) !== LOCATOR64.signature) throw new PthError('zip directory', 'its zip64 locator is not there');
  const at = exact(locator.getBigUint64(8, true), 'zip directory');
  if (at + END64.bytes > locatorOffset) throw new PthError('zip directory', 'its zip64 record lies beyond the file');
  const record = viewOf(await source.read(at, END64.bytes));
  if (record.getUint32(0, true) !== END64.signature) throw new PthError('zip directory', 'its zip64 record is not there');
  return {
    entries: exact(record.getBigUint64(32, true), 'zip directory'),
    sizeBytes: exact(record.getBigUint64(40, true), 'zip directory'),
    offset: exact(record.getBigUint64(48, true), 'zip directory'),
  };
}

/** Reads the 64-bit values that stand for all-ones fields, in the order in which they are asked for. */
function view64(extra: Uint8Array, part: string): (field: number) => number {
  const view = viewOf(extra);
  let at = 0;
  let end = 0;
  for (let field = 0; field + 4 <= extra.byteLength; field += 4 + view.getUint16(field + 2, true)) {
    if (view.getUint16(field, true) !== ZIP64_EXTRA) continue;
    at = field + 4;
    end = Math.min(extra.byteLength, at + view.getUint16(field + 2, true));
    break;
  }
  return (field) => {
    if (field !== ALL_ONES_32) return field;
    if (at + 8 > end) throw new PthError(part, 'a zip64 size or offset is missing');
    const value = exact(view.getBigUint64(at, true), part);
    at += 8;
    return value;
  };
}

/** Below 2^48, so that sums of a few stay exact. */
function exact(value: bigint, part: string): number {
  if (value >= 1n << 48n) throw new PthError(part, `size or offset ${value}, below 2^48 is allowed`);
  return Number(value);
}

function decodeName(bytes: Uint8Array, k: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new PthError('zip directory', `the name of entry ${k} is not UTF-8`, cause);
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
