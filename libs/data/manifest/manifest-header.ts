/** The header of a manifest: canonical JSON that describes the columns. See manifest.ts. */
import { isSha256 } from '#storage/content-hash.js';

export const DATASET_KINDS = ['image_folder', 'tar', 'cifar10', 'cifar100', 'idx'] as const;
export type DatasetKind = (typeof DATASET_KINDS)[number];

/** How the records of a file are laid out in bytes. */
export interface RecordLayout {
  /** Bytes before the first record. */
  readonly headerBytes: number;
  /** Bytes of one record. */
  readonly recordBytes: number;
  /** Bytes of a record before its pixels (CIFAR's labels). */
  readonly pixelOffset: number;
  /** `planar_rgb`: three planes; `rgb`: interleaved; `gray`: one plane. */
  readonly pixels: 'planar_rgb' | 'rgb' | 'gray';
}

export interface ManifestHeader {
  readonly format: 'dropstream.manifest.v1';
  readonly kind: DatasetKind;
  readonly split: string;
  readonly samples: number;
  readonly classes: readonly string[];
  /** Image folders: total bytes of the paths. */
  readonly pathBytes?: number;
  /** Other kinds: the files that hold the samples. */
  readonly files?: readonly string[];
  /** CIFAR and IDX: how the records lie in the files. */
  readonly layout?: RecordLayout;
  /** Tar shards: size and SHA-256 (64 hex digits) of each file. */
  readonly fileBytes?: readonly number[];
  readonly fileSha256?: readonly string[];
}

export class InvalidManifest extends Error {
  override readonly name = 'InvalidManifest';
  constructor(readonly why: string) {
    super(`not a manifest: ${why}`);
  }
}

export const MAGIC = 'DSMANIF1';
const MAX_SAMPLES = 2 ** 31;
const MAX_HEADER_BYTES = 16 << 20;

/**
 * True for a relative path without '.' or '..' segments, without backslashes and without NUL. Its first and last segments are not empty; others may be,
 * since keys of objects may have any number of slashes in a row.
 */
export function isInnerPath(path: string): boolean {
  return (
    /^[^/].*[^/]$|^[^/]$/s.test(path) && !/[\\\0]/.test(path) && path.split('/').every((segment) => segment !== '.' && segment !== '..')
  );
}

/** @throws InvalidManifest */
export function readHeader(bytes: Uint8Array): { header: ManifestHeader; start: number } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.byteLength < 12 || buffer.toString('latin1', 0, 8) !== MAGIC) throw new InvalidManifest(`it does not start with ${MAGIC}`);
  const length = buffer.readUInt32LE(8);
  const start = 12 + length;
  if (length > MAX_HEADER_BYTES || start > buffer.byteLength || start % 8 !== 0)
    throw new InvalidManifest(`its header of ${length} bytes is too long or not aligned`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(buffer.toString('utf8', 12, start));
  } catch {
    throw new InvalidManifest('its header is not JSON');
  }
  return { header: checkHeader(parsed), start };
}

function checkHeader(parsed: unknown): ManifestHeader {
  const require = (holds: boolean, what: string): void => {
    if (!holds) throw new InvalidManifest(`header: ${what} is not valid`);
  };
  require(typeof parsed === 'object' && parsed !== null, 'a value that is not an object');
  const header = parsed as Partial<ManifestHeader>;
  require(!Object.hasOwn(header, '__proto__'), 'a key __proto__');
  const texts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');
  const count = (value: unknown, max: number): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
  require(header.format === 'dropstream.manifest.v1', `format ${JSON.stringify(header.format)}`);
  require(DATASET_KINDS.includes(header.kind as DatasetKind), `kind ${JSON.stringify(header.kind)}`);
  require(typeof header.split === 'string', 'split');
  require(count(header.samples, MAX_SAMPLES) && (header.samples as number) > 0, `samples ${header.samples}`);
  require(texts(header.classes), 'classes');
  if (header.kind === 'image_folder') {
    require(count(header.pathBytes, 2 ** 32), `pathBytes ${header.pathBytes}`);
  } else {
    require(texts(header.files) && header.files.every(isInnerPath), 'files');
  }
  if (header.kind === 'tar') {
    const { files = [], fileBytes, fileSha256 } = header;
    require(Array.isArray(fileBytes) && fileBytes.length === files.length && fileBytes.every((size) => count(size, 2 ** 41)), 'fileBytes');
    require(texts(fileSha256) && fileSha256.length === files.length && fileSha256.every(isSha256), 'fileSha256');
  } else if (header.kind !== 'image_folder') {
    const layout = header.layout as Partial<RecordLayout> | undefined;
    require(typeof layout === 'object' && layout !== null, 'layout');
    for (const field of ['headerBytes', 'recordBytes', 'pixelOffset'] as const)
      require(count(layout?.[field], 2 ** 31), `layout.${field} ${layout?.[field]}`);
    require(['planar_rgb', 'rgb', 'gray'].includes(layout?.pixels as string), `layout.pixels ${JSON.stringify(layout?.pixels)}`);
  }
  return header as ManifestHeader;
}
