/** IDX, the format of MNIST and its family: big-endian dimensions, then bytes. */
import { invalid } from '#errors/errors.js';
import type { RecordLayout } from '../manifest/manifest-header.js';

export class InvalidIdx extends Error {
  override readonly name = 'InvalidIdx';
  constructor(readonly why: string) {
    super(`not an IDX file of bytes: ${why}`);
  }
}

export interface Idx {
  readonly dimensions: readonly number[];
  /** Bytes before the first value. */
  readonly headerBytes: number;
}

const UNSIGNED_BYTE = 0x08;
const MAX_DIMENSIONS = 4;

/** Reads the header and checks that the values fill the file exactly. @throws InvalidIdx */
export function parseIdx(bytes: Uint8Array): Idx {
  const idx = parseHeader(bytes);
  const values = bytes.byteLength - idx.headerBytes;
  if (idxBytes(bytes) !== bytes.byteLength) throw new InvalidIdx(`dimensions ${idx.dimensions.join(' x ')} do not fit its ${values} bytes`);
  return idx;
}

/** Bytes of the whole file that begins like this. @throws InvalidIdx */
export function idxBytes(head: Uint8Array): number {
  const { dimensions, headerBytes } = parseHeader(head);
  return headerBytes + dimensions.reduce((product, dimension) => product * dimension, 1);
}

function parseHeader(bytes: Uint8Array): Idx {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < 4 || view.getUint16(0) !== 0) throw new InvalidIdx('it does not start with two zero bytes');
  const [type, count] = [view.getUint8(2), view.getUint8(3)];
  if (type !== UNSIGNED_BYTE) throw new InvalidIdx(`type 0x${type.toString(16)}, only unsigned bytes (0x8) are read`);
  if (count < 1 || count > MAX_DIMENSIONS) throw new InvalidIdx(`${count} dimensions`);
  const headerBytes = 4 + 4 * count;
  if (bytes.byteLength < headerBytes) throw new InvalidIdx('it ends inside its header');
  return { dimensions: Array.from({ length: count }, (_, i) => view.getUint32(4 + 4 * i)), headerBytes };
}

/** Images [n, height, width] or [n, height, width, 1 or 3]. @throws InvalidIdx */
export function idxImages(bytes: Uint8Array): { count: number; width: number; height: number; layout: RecordLayout } {
  const { dimensions, headerBytes } = parseIdx(bytes);
  const [count = 0, height = 0, width = 0, channels = 1] = dimensions;
  if (dimensions.length < 3 || (channels !== 1 && channels !== 3) || count * height * width === 0)
    throw new InvalidIdx(`dimensions ${dimensions.join(' x ')} are not images`);
  const layout = {
    headerBytes,
    recordBytes: height * width * channels,
    pixelOffset: 0,
    pixels: channels === 3 ? ('rgb' as const) : ('gray' as const),
  };
  return { count, width, height, layout };
}

/** Labels [n]. @throws InvalidIdx */
export function idxLabels(bytes: Uint8Array): Uint8Array {
  const { dimensions, headerBytes } = parseIdx(bytes);
  if (dimensions.length !== 1) throw new InvalidIdx(`dimensions ${dimensions.join(' x ')} are not labels`);
  return bytes.subarray(headerBytes);
}

/** The image and label files of a split among the names in a folder. @throws InvalidArgument when there is not exactly one pair */
export function idxFiles(names: readonly string[], split: 'train' | 'val', folder: string): { images: string; labels: string } {
  const prefix = split === 'train' ? /(^|[-_.])train[-_.]/i : /(^|[-_.])(t10k|test)[-_.]/i;
  const one = (kind: string, dimensions: string): string => {
    const pattern = new RegExp(`${kind}[-_.]idx${dimensions}[-_.]ubyte(\\.gz)?$`, 'i');
    const found = names.filter((name) => prefix.test(name) && pattern.test(name)).sort();
    // Beside an unpacked file its .gz is the same again.
    const distinct = found.filter((name) => !(name.endsWith('.gz') && found.includes(name.slice(0, -3))));
    if (distinct.length !== 1)
      throw invalid(
        'data_path',
        folder,
        `a folder with one ${split === 'train' ? 'train' : 't10k or test'}-${kind}-idx…-ubyte[.gz] file; found ${distinct.length}`,
      );
    return distinct[0] as string;
  };
  return { images: one('images', '[34]'), labels: one('labels', '1') };
}
