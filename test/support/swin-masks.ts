/** Dropout masks of Swin's fixtures in the order of our sites. */
import { windowTokens } from '#nn/ops/window-attention.js';

const WINDOW = 7;

/**
 * The reference drops what attention's projection gives while it is cut into windows: `proj_drop` masks are [batch · windows, w², C]. Ours
 * drops it back in its place on the map, [batch, H·W, C]. Every other mask stays as it is.
 */
export function inSiteOrder(site: string, mask: Uint8Array, shape: readonly number[], batch: number): Uint8Array {
  const [, block = ''] = /^layers\.\d+\.blocks\.(\d+)\.proj_drop$/.exec(site) ?? [];
  if (block === '') return mask;
  const [groups = 0, size = 0, channels = 0] = shape;
  const across = Math.sqrt(groups / batch);
  const side = across * Math.sqrt(size);
  const shift = Number(block) % 2 === 1 && across > 1 ? Math.floor(WINDOW / 2) : 0;
  const tokens = windowTokens({ height: side, width: side, window: Math.sqrt(size), shift });
  const ordered = new Uint8Array(mask.length);
  for (let sample = 0; sample < batch; sample++) {
    tokens.forEach((token, place) => {
      const from = (sample * side * side + place) * channels;
      ordered.set(mask.subarray(from, from + channels), (sample * side * side + token) * channels);
    });
  }
  return ordered;
}
