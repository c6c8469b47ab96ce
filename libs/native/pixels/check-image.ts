/** What can be known of an image file without decoding it: for indexing, where every file is looked at once. */
import { checkForeign } from './foreign/check-foreign.js';
import { isForeign } from './foreign/formats.js';
import { type ImageHeader, ImageHeaderError, isPng, MAX_IMAGE_AREA, MAX_IMAGE_SIDE, readHeader } from './image-header.js';
import { hasJpegEnd } from './jpeg-end.js';
import { readPngLayout } from './png-scanlines.js';

/**
 * Format and size of a whole file, with the limits that decoding has and the ends that it needs.
 * @throws ImageHeaderError, PngError
 */
export function checkImage(bytes: Uint8Array): ImageHeader {
  const header = readHeader(bytes);
  const { format, width, height } = header;
  if (Math.max(width, height) > MAX_IMAGE_SIDE || width * height > MAX_IMAGE_AREA)
    throw new ImageHeaderError(
      `${format} of ${width} x ${height} pixels: sides must be 1 to ${MAX_IMAGE_SIDE}, the area at most ${MAX_IMAGE_AREA}`,
      0,
    );
  if (isPng(bytes)) readPngLayout(bytes);
  // The decoder refuses a JPEG without its end.
  if (format === 'jpeg' && !hasJpegEnd(bytes)) throw new ImageHeaderError('jpeg without its end: the file was cut', bytes.byteLength);
  if (isForeign(format)) {
    try {
      checkForeign(format, bytes, width, height);
    } catch (error) {
      throw new ImageHeaderError(
        error instanceof RangeError ? `${format} ends inside its header` : (error as Error).message,
        bytes.byteLength,
      );
    }
  }
  return header;
}
