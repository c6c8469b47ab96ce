/** The uniform `call` of every shader: what may change from chunk to chunk. The struct in WGSL and its writer, side by side. */

export const CALL_STRUCT = `struct Call {
  n: u32, // samples of the call's domain in this chunk
  samples: u32, // samples of the chunk
  first_sample: u32, // position of the chunk's first sample within the step
  positions_at: u32, // where the list of the domain's positions begins in \`samples\`
  slots_at: u32, // where the list of slots of the call's path begins in \`samples\` (gather_kept, scatter_add_kept)
  path_scale: f32, // 1 / (1 - p) of the call's path
  loss_scale: f32,
  seed_low: u32,
  seed_high: u32,
  step: u32,
  site: u32,
  dropping: u32, // 0: nothing is dropped; 1: by the counter; 2: by the bits in \`masks\`
  threshold: u32, // kept if the word is below
  drop_scale: f32, // 1 / (1 - p) of the call's site
  mask_at: u32, // first word of the site in \`masks\`
  site_elements: u32, // elements per sample of the site
  sizes: vec4u, // of the dispatch, as its kernel defines them
}`;

export interface CallWords {
  n: number;
  samples: number;
  firstSample: number;
  positionsAt: number;
  slotsAt: number;
  pathScale: number;
  lossScale: number;
  seedLow: number;
  seedHigh: number;
  step: number;
  site: number;
  dropping: 0 | 1 | 2;
  threshold: number;
  dropScale: number;
  maskAt: number;
  siteElements: number;
  /** At most four. */
  sizes: readonly number[];
}

export const CALL_BYTES = 80;

/** Writes the struct at a multiple of 4 bytes. */
export function writeCallWords(into: ArrayBuffer, at: number, words: CallWords): void {
  const u32 = new Uint32Array(into, at, CALL_BYTES / 4);
  const f32 = new Float32Array(into, at, CALL_BYTES / 4);
  u32[0] = words.n;
  u32[1] = words.samples;
  u32[2] = words.firstSample;
  u32[3] = words.positionsAt;
  u32[4] = words.slotsAt;
  f32[5] = words.pathScale;
  f32[6] = words.lossScale;
  u32[7] = words.seedLow;
  u32[8] = words.seedHigh;
  u32[9] = words.step;
  u32[10] = words.site;
  u32[11] = words.dropping;
  u32[12] = words.threshold;
  f32[13] = words.dropScale;
  u32[14] = words.maskAt;
  u32[15] = words.siteElements;
  u32.set(words.sizes, 16);
}
