/**
 * What the decoders of the formats beside JPEG and PNG would refuse, as far as it can be known without decoding: kinds that are not read, and files
 * that were cut. For indexing, so that nobody learns of them in training.
 */
import { readHeader } from '../image-header.js';
import { bmpForm } from './bmp.js';
import { type ForeignFormat, netpbmHeader } from './formats.js';
import { firstGifFrame } from './gif-frame.js';
import { rawNetpbmEnd } from './netpbm.js';
import { plainTiff, TIFF_COMPRESSION, type TiffLayout } from './plain-tiff.js';
import { stillWebp } from './still-webp.js';
import { tiffColourKind } from './tiff-colours.js';
import { checkTiffPlanes } from './tiff-samples.js';

/** @throws Error with what is wrong, RangeError where the file ends early */
export function checkForeign(format: ForeignFormat, bytes: Uint8Array, width: number, height: number): void {
  switch (format) {
    case 'webp': {
      // The first frame of an animation may be whole where others were cut.
      const { still } = stillWebp(bytes);
      // The size of a RIFF file leaves out its first eight bytes.
      if (8 + new DataView(still.buffer, still.byteOffset).getUint32(4, true) > still.length) throw new Error('webp ends inside its image');
      return;
    }
    case 'gif':
      firstGifFrame(bytes, width, height);
      return;
    case 'bmp':
      bmpForm(bytes, width, height);
      return;
    case 'netpbm':
      if (rawNetpbmEnd(netpbmHeader(bytes)) > bytes.length) throw new Error('netpbm file ends inside its pixels');
      return;
    case 'tiff': {
      const { file, layout } = plainTiff(bytes);
      if (layout.compression === TIFF_COMPRESSION.jpeg) checkJpegPieces(file, layout);
      else {
        checkTiffPlanes(layout);
        tiffColourKind(layout);
      }
      return;
    }
  }
}

/** Gray, from white or from black; RGB and YCbCr. By the number of samples. */
const JPEG_PHOTOMETRIC: Readonly<Record<number, readonly number[]>> = { 1: [0, 1], 3: [2, 6] };

/** The library does not bound what a piece's own header claims. */
export function checkJpegPieces(file: Uint8Array, { samples, depth, photometric, ...layout }: TiffLayout): void {
  if (depth !== 8 || ![1, 3].includes(samples) || layout.planar) throw new Error(`tiff of JPEGs with ${samples} samples of ${depth} bits`);
  if (!(JPEG_PHOTOMETRIC[samples] as readonly number[]).includes(photometric))
    throw new Error(`tiff of JPEGs with photometric interpretation ${photometric} and ${samples} samples`);
  for (const [i, offset] of layout.offsets.entries()) {
    const piece = readHeader(file.subarray(offset, offset + (layout.lengths[i] as number)));
    if (piece.format !== 'jpeg' || piece.width > layout.pieceWidth || piece.height > layout.pieceHeight)
      throw new Error(
        `tiff with a piece of ${piece.width} x ${piece.height} pixels where ${layout.pieceWidth} x ${layout.pieceHeight} fit`,
      );
  }
}
