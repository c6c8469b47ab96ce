import { PNG } from 'pngjs';

/**
 * Encodes one uint8 RGB image as PNG. layout 'chw': planes R, G, B; 'hwc': interleaved. It works on the calling thread, about 100 ms for a million
 * pixels, so services call it in a thread of its own.
 */
export function encodePng(rgb: Uint8Array, width: number, height: number, layout: 'chw' | 'hwc'): Buffer {
  const area = width * height;
  if (rgb.length !== 3 * area) throw new TypeError(`rgb of ${rgb.length} bytes: must hold 3 x ${width} x ${height}`);
  const [pixel, channel] = layout === 'chw' ? [1, area] : [3, 1];
  const png = new PNG({ width, height, inputColorType: 2, inputHasAlpha: false, colorType: 2 });
  const data = Buffer.alloc(3 * area);
  for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) data[3 * i + c] = rgb[i * pixel + c * channel]!;
  png.data = data;
  return PNG.sync.write(png, { inputColorType: 2, inputHasAlpha: false, colorType: 2 });
}
