/**
 * The files in a tar archive: ustar (POSIX.1-1988), pax (POSIX.1-2001) and GNU's long names and large numbers, as bsdtar, GNU tar and Python's
 * tarfile write them. Archives are input from outside: every length is checked against the archive before it is used.
 */
import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';

export class InvalidTar extends Error {
  override readonly name = 'InvalidTar';
  constructor(readonly why: string) {
    super(`not a tar archive: ${why}`);
  }
}

/** A file in an archive, or a link to one. */
export interface TarMember {
  /** As the archive says, without a './' before it. Not to be used as a path without a check. */
  readonly name: string;
  /** First byte of its content; a multiple of 512. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** Archives that were joined are read one after another: which of them it is in, from 0. */
  readonly part: number;
  /** It has no content of its own: a hard or symbolic link to another member. */
  readonly isLink: boolean;
}

/** An archive, read from its beginning on: offsets only grow. */
export interface TarBytes {
  readonly sizeBytes: number;
  /** `length` bytes from `offset`, which lie inside. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

const BLOCK = 512;
/** Longest extended header: names have at most 4096 bytes on Linux. */
const MAX_EXTENSION_BYTES = 1 << 20;
/** Zeros and headers looked at before others get their turn. */
const BLOCKS_PER_TURN = 1000;

/**
 * Every file. Reading goes on behind the blocks of zeros that end an archive, since archives that were joined (`cat a.tar b.tar`) are one file
 * to the people who made it; what follows the last one and is no archive is passed over.
 * @param onCut is called if the last archive has no such blocks: where it was cut between two members, nothing else tells
 * @throws InvalidTar, saying where
 */
export async function* tarMembers(archive: TarBytes, onCut?: () => void): AsyncGenerator<TarMember> {
  if (archive.sizeBytes === 0) throw new InvalidTar('it is empty');
  let extended: Extended = {};
  let blocks = 0;
  let [part, inPart, strayAt] = [0, false, -1];
  for (let at = 0; at < archive.sizeBytes; ) {
    if (++blocks % BLOCKS_PER_TURN === 0) await nextTurn();
    const between = !inPart && part > 0;
    if (at + BLOCK > archive.sizeBytes) {
      if (between) return;
      throw new InvalidTar(`it ends inside the header at byte ${at}`);
    }
    const block = await archive.read(at, BLOCK);
    const header = between && !hasChecksum(block) ? 'stray' : parseTarHeader(block, at);
    if (header === undefined || header === 'stray') {
      if (header === undefined && inPart) part++;
      else if (header === undefined && part === 0) part = 1;
      if (header === 'stray' && strayAt < 0) strayAt = at;
      inPart = false;
      at += BLOCK;
      continue;
    }
    if (strayAt >= 0) throw new InvalidTar(`the bytes from ${strayAt} to the header at byte ${at} are no archive`);
    inPart = true;
    const content = at + BLOCK;
    const isExtension = EXTENSIONS.has(header.type);
    const saidSize = isExtension ? header.sizeBytes : (extended.sizeBytes ?? header.sizeBytes);
    const sizeBytes = NO_CONTENT.has(header.type) ? 0 : saidSize;
    const end = content + sizeBytes;
    if (!(end <= archive.sizeBytes)) throw new InvalidTar(`the member at byte ${at} has ${sizeBytes} bytes, more than are left`);
    if (isExtension) {
      if (sizeBytes > MAX_EXTENSION_BYTES) throw new InvalidTar(`the extended header at byte ${at} has ${sizeBytes} bytes`);
      const value = parseExtension(header.type, sizeBytes === 0 ? new Uint8Array() : await archive.read(content, sizeBytes), at);
      extended = { ...extended, ...value };
    } else {
      const name = (extended.name ?? header.name).replace(/^(\.\/+)+/, '');
      const isLink = LINKS.has(header.type);
      if ((isLink || REGULAR.has(header.type)) && !name.endsWith('/')) yield { name, offset: content, sizeBytes, part, isLink };
      extended = {};
    }
    at = content + Math.ceil(sizeBytes / BLOCK) * BLOCK;
  }
  if (inPart) onCut?.();
}

const REGULAR = new Set(['0', '\0', '7']);
const LINKS = new Set(['1', '2']);
/** Links, devices, folders, FIFOs, GNU's volume label: whatever their size field says. */
const NO_CONTENT = new Set(['1', '2', '3', '4', '5', '6', 'V']);
/** pax for the next member, pax for all, GNU long name, GNU long link. */
const EXTENSIONS = new Set(['x', 'g', 'L', 'K']);
/** Members whose content lies in other places than the header says. */
const UNREADABLE: Readonly<Record<string, string>> = { S: 'a sparse file', M: 'a part of a file from another volume' };

interface TarHeader {
  readonly name: string;
  readonly sizeBytes: number;
  readonly type: string;
}

interface Extended {
  readonly name?: string;
  readonly sizeBytes?: number;
}

/** undefined: the block of zeros that ends an archive. `at`: for messages. @throws InvalidTar */
export function parseTarHeader(block: Uint8Array, at: number): TarHeader | undefined {
  const bytes = Buffer.from(block.buffer, block.byteOffset, BLOCK);
  if (isZero(bytes)) return undefined;
  if (!hasChecksum(bytes)) throw new InvalidTar(`the header at byte ${at} does not have its checksum`);
  const sizeBytes = tarNumber(bytes.subarray(124, 136));
  if (sizeBytes === undefined) throw new InvalidTar(`the header at byte ${at} has no size`);
  const type = String.fromCharCode(bytes[156] as number);
  const unreadable = UNREADABLE[type];
  if (unreadable) throw new InvalidTar(`the member at byte ${at} is ${unreadable}`);
  // GNU's own format ("ustar  ") has other things where POSIX has the beginning of the name.
  const prefix = bytes.toString('latin1', 257, 263) === 'ustar\0' ? text(bytes.subarray(345, 500)) : '';
  const name = text(bytes.subarray(0, 100));
  return { name: prefix === '' ? name : `${prefix}/${name}`, sizeBytes, type };
}

function isZero(block: Uint8Array): boolean {
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/** True for blocks of zeros too, which have none. */
function hasChecksum(block: Uint8Array): boolean {
  let sum = 0;
  let signedSum = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] as number);
    sum += byte;
    signedSum += (byte << 24) >> 24;
  }
  const checksum = tarNumber(block.subarray(148, 156));
  // Old archivers added signed bytes.
  return checksum === sum || checksum === signedSum || (sum === 8 * 0x20 && isZero(block));
}

/** Octal digits, or 0x80 and a big-endian number. undefined: neither, or not below 2^53. */
export function tarNumber(field: Uint8Array): number | undefined {
  if ((field[0] as number) >= 0x80) {
    if (field[0] !== 0x80) return undefined;
    let value = 0;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = /^ *([0-7]*)[ \0]*$/.exec(Buffer.from(field).toString('latin1'))?.[1];
  if (digits === undefined) return undefined;
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function parseExtension(type: string, bytes: Uint8Array, at: number): Extended {
  if (type === 'L') return { name: text(bytes) };
  if (type === 'K') return {};
  const records = paxRecords(bytes, at);
  const sparse = [...records.keys()].find((key) => key.startsWith('GNU.sparse.'));
  if (sparse !== undefined) throw new InvalidTar(`the member at byte ${at} is a sparse file`);
  if (type === 'g') return {};
  const [name, size] = [records.get('path'), records.get('size')];
  if (size !== undefined && !(/^\d{1,16}$/.test(size) && Number.isSafeInteger(Number(size))))
    throw new InvalidTar(`the extended header at byte ${at} has the size ${JSON.stringify(size.slice(0, 40))}`);
  return { ...(name === undefined ? {} : { name }), ...(size === undefined ? {} : { sizeBytes: Number(size) }) };
}

/** Records of "length key=value\n", length counting all of it. @throws InvalidTar */
export function paxRecords(bytes: Uint8Array, at = 0): Map<string, string> {
  const records = new Map<string, string>();
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = 0; start < buffer.byteLength; ) {
    const length = /^([1-9]\d{0,6}) /.exec(buffer.toString('latin1', start, start + 8))?.[1];
    const end = start + Number(length);
    const equals = buffer.indexOf(0x3d, start);
    if (length === undefined || end > buffer.byteLength || buffer[end - 1] !== 0x0a || equals < 0 || equals >= end)
      throw new InvalidTar(`the extended header at byte ${at} has no whole record at its byte ${start}`);
    records.set(decoded(buffer.subarray(start + length.length + 1, equals)), decoded(buffer.subarray(equals + 1, end - 1)));
    start = end;
  }
  return records;
}

/** Up to the first zero byte. */
function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return decoded(Buffer.from(field.subarray(0, end < 0 ? undefined : end)));
}

/** Names that are no UTF-8 (from old systems with code pages) stay different from each other: a replacement character and the number of each byte. */
function decoded(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  return bytes.toString('latin1').replace(/[\x80-\xff]/g, (byte) => `\uFFFD${byte.charCodeAt(0).toString(16)}`);
}
