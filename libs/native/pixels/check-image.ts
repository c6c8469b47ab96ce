/** What can be known of an image file without decoding it: for indexing, where every file is looked at once. */
import { type ImageHeader, ImageHeaderError, isPng, MAX_IMAGE_AREA, MAX_IMAGE_SIDE, readHeader } from './image-header.js';
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
  // The decoder refuses a JPEG without its end marker: a download or a copy that was cut.
  if (format === 'jpeg' && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).lastIndexOf(END_OF_JPEG) < 0)
    throw new ImageHeaderError('jpeg without its end: the file was cut', bytes.byteLength);
  return header;
}

const END_OF_JPEG = Buffer.from([0xff, 0xd9]);
