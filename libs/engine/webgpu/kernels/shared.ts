/** WGSL that several kernels share. */

/** In the list of slots: the path does not keep this sample. */
export const DROPPED = 0xffffffff;

/**
 * `position(i)`: place in the chunk of the i-th sample of the call's domain, ascending. `slot(s)`: place among the samples that the call's path keeps
 * of sample s of the chunk, or NO_SLOT (gather_kept and scatter_add_kept only).
 */
export const POSITIONS = `
const NO_SLOT = ${DROPPED}u;
fn position(i: u32) -> u32 { return samples[call.positions_at + i]; }
fn slot(s: u32) -> u32 { return samples[call.slots_at + s]; }
`;

/** `philox(counter, key)`: Philox 4x32-10 (libs/random/philox.ts). Products of 32 bits are put together from those of 16, which is exact. */
export const PHILOX = `
fn multiply_high(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu; let a1 = a >> 16u; let b0 = b & 0xffffu; let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u);
  let cross = a0 * b1 + (middle & 0xffffu);
  return a1 * b1 + (middle >> 16u) + (cross >> 16u);
}
fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var x = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    x = vec4u(multiply_high(0xcd9e8d57u, x.z) ^ x.y ^ k.x, 0xcd9e8d57u * x.z, multiply_high(0xd2511f53u, x.x) ^ x.w ^ k.y, 0xd2511f53u * x.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return x;
}
`;

/**
 * `drop_factor(i, element)`: the factor of one element of the call's dropout site, for the i-th sample of its domain: 0 if it is dropped, 1 / (1 - p)
 * if it is kept, 1 if nothing drops. `element` is counted in the site's row-major per-sample order. `drop_factors(i, block)`: the factors of elements
 * 4 · block … 4 · block + 3, for the price of one. The words are those of StepRandomness (executable.ts).
 */
export const DROPOUT = `${PHILOX}
fn drop_factors(i: u32, block: u32) -> vec4f {
  if (call.dropping == 0u) { return vec4f(1.0); }
  if (call.dropping == 2u) {
    let bit = position(i) * call.site_elements + 4u * block;
    let at = vec4u(bit, bit + 1u, bit + 2u, bit + 3u);
    let words = vec4u(masks[call.mask_at + (at.x >> 5u)], masks[call.mask_at + (at.y >> 5u)], masks[call.mask_at + (at.z >> 5u)], masks[call.mask_at + (at.w >> 5u)]);
    return select(vec4f(0.0), vec4f(call.drop_scale), ((words >> (at & vec4u(31u))) & vec4u(1u)) == vec4u(1u));
  }
  let words = philox(vec4u(block, call.first_sample + position(i), call.site, call.step), vec2u(call.seed_low, call.seed_high));
  return select(vec4f(0.0), vec4f(call.drop_scale), words < vec4u(call.threshold));
}
fn drop_factor(i: u32, element: u32) -> f32 { return drop_factors(i, element >> 2u)[element & 3u]; }
`;
