/** Images that lie in their file turned or mirrored, as tag 274 of TIFF says. Pillow shows them upright. */
import type { TiffLayout } from './plain-tiff.js';

/** @param rgb interleaved. @returns as many bytes; from orientation 5 on, width and height have changed places. An unknown orientation changes nothing */
export function oriented(
  rgb: Uint8Array,
  { width, height, orientation }: Pick<TiffLayout, 'width' | 'height' | 'orientation'>,
): Uint8Array {
  if (orientation < 2 || orientation > 8) return rgb;
  const swapped = orientation >= 5;
  const columns = swapped ? height : width;
  const [mirrored, flipped] = [[2, 3, 7, 8].includes(orientation), [3, 4, 6, 7].includes(orientation)];
  const shown = new Uint8Array(rgb.length);
  for (let y = 0, from = 0; y < height; y++) {
    const row = flipped ? height - 1 - y : y;
    for (let x = 0; x < width; x++, from += 3) {
      const column = mirrored ? width - 1 - x : x;
      const to = 3 * (swapped ? column * columns + row : row * columns + column);
      shown[to] = rgb[from] as number;
      shown[to + 1] = rgb[from + 1] as number;
      shown[to + 2] = rgb[from + 2] as number;
    }
  }
  return shown;
}
