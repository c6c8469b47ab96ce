/** Names for files that are found among images and are not read, so that an error can say what to do with them. */
import { mistakenDownload } from '#errors/mistaken-download.js';

/** Kinds of images by bytes that stand in them, written as latin1, and where. An ISO file begins with the length of its first box. */
const KINDS: readonly (readonly [at: number, bytes: string, name: string])[] = [
  [0, '\xff\x4f\xff\x51', 'a JPEG 2000 codestream'],
  [4, 'jP  \r\n\x87\n', 'a JPEG 2000 image'],
  [0, '\xff\x0a', 'a JPEG XL image'],
  [4, 'JXL \r\n\x87\n', 'a JPEG XL image'],
  [4, 'ftypavif', 'an AVIF image'],
  [4, 'ftypavis', 'an AVIF image'],
  [4, 'ftyphe', 'a HEIF image'],
  [4, 'ftypmif1', 'a HEIF image'],
  [4, 'ftypmsf1', 'a HEIF image'],
  [4, 'ftyp', 'a film or another ISO media file'],
  [0, 'II\xbc\x01', 'a JPEG XR image'],
  [0, 'II\x2b\0', 'a BigTIFF image'],
  [0, 'MM\0\x2b', 'a BigTIFF image'],
  [0, '8BPS', 'a Photoshop document'],
  [0, '\x76\x2f\x31\x01', 'an OpenEXR image'],
  [0, '#?RADIANCE', 'a Radiance HDR image'],
  [0, 'DDS ', 'a DirectDraw surface'],
  [0, '\0\0\x01\0', 'an icon of Windows'],
  [0, '%PDF-', 'a PDF document'],
  [0, 'P7\n', 'a PAM image'],
  [0, 'PF\n', 'a PFM image'],
  [0, 'Pf\n', 'a PFM image'],
  [0, '(\0\0\0', 'a bitmap without the header of a BMP file'],
  [0, '<svg', 'an SVG drawing'],
];

/** @returns what it is and what to do; undefined for anything else */
export function unreadFile(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(32, bytes.byteLength)).toString('latin1');
  const kind = KINDS.find(([at, text]) => start.startsWith(text, at));
  return kind ? `it is ${kind[2]}, which is not read; convert it to PNG or JPEG` : mistakenDownload(bytes);
}
