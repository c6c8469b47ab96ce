/** Where the first frame of a GIF lies, by the library that reads its blocks. */
import { createRequire } from 'node:module';

interface FrameInfo {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly interlaced: boolean;
  readonly transparent_index: number | null;
  readonly palette_offset: number | null;
  readonly palette_size: number;
  readonly data_offset: number;
}

const require = createRequire(import.meta.url);
/** It has no types of its own. */
const { GifReader } = require('omggif') as {
  GifReader: new (bytes: Uint8Array) => { frameInfo(frame: number): FrameInfo };
};

/** @throws Error for a file whose blocks are damaged or cut, or whose first frame cannot be shown */
export function firstGifFrame(bytes: Uint8Array, width: number, height: number): FrameInfo & { readonly palette_offset: number } {
  const frame = read(bytes);
  if (frame.x + frame.width > width || frame.y + frame.height > height) throw new Error('gif with a first frame that leaves its screen');
  const palette = frame.palette_offset;
  if (palette === null) throw new Error('gif without a palette');
  return { ...frame, palette_offset: palette };
}

function read(bytes: Uint8Array): FrameInfo {
  try {
    return new GifReader(bytes).frameInfo(0);
  } catch (error) {
    throw new Error(`gif without a whole frame (${error instanceof Error ? error.message : String(error)})`, { cause: error });
  }
}
