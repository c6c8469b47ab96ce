/**
 * How kernels load, round and store 16-bit elements, two of which share a word. Every conversion is made of integer operations, because WGSL leaves
 * open how a device rounds to f16, and what it makes of numbers that f16 does not have. Loss scaling relies on an overflow being infinite.
 */
import type { HalfType } from '../../native/program-spec.js';

interface HalfWords {
  /** Declares the functions below. */
  declarations: string;
  /** The function that rounds an f32 to the nearest number of the type, ties to even. */
  rounded: string;
  /** The word of two f32. */
  word(low: string, high: string): string;
  /** Expressions of two numbers, and of the four of two words. */
  pair(word: string): string;
  four(words: string): string;
  /** Expression of one number: the lower one of a word, unless `upper` holds. */
  one(word: string, upper: string): string;
}

export const halves: Readonly<Record<HalfType, HalfWords>> = {
  bf16: {
    // The upper half of `bf16_bits(v)` is the nearest bf16, and a NaN for a NaN.
    declarations: `fn bf16_bits(v: f32) -> u32 {
  let b = bitcast<u32>(v);
  return select(b + 0x7fffu + ((b >> 16u) & 1u), b | 0x400000u, (b & 0x7fffffffu) > 0x7f800000u);
}
fn bf16_of(v: f32) -> f32 { return bitcast<f32>(bf16_bits(v) & 0xffff0000u); }`,
    rounded: 'bf16_of',
    word: (low, high) => `(bf16_bits(${low}) >> 16u) | (bf16_bits(${high}) & 0xffff0000u)`,
    pair: (word) => `vec2f(bitcast<f32>(${word} << 16u), bitcast<f32>(${word} & 0xffff0000u))`,
    four: (words) => `bitcast<vec4f>(vec4u(${words}.x << 16u, ${words}.x & 0xffff0000u, ${words}.y << 16u, ${words}.y & 0xffff0000u))`,
    one: (word, upper) => `bitcast<f32>(select(${word} << 16u, ${word} & 0xffff0000u, ${upper}))`,
  },
  f16: {
    // `f16_bits(v)`: the bits of the nearest f16, which is infinite from 65520 on, a multiple of 2^-24 below 2^-14, and a NaN for a NaN.
    declarations: `fn f16_bits(v: f32) -> u32 {
  let b = bitcast<u32>(v);
  let a = b & 0x7fffffffu;
  var h = (a - 0x38000000u + 0xfffu + ((a >> 13u) & 1u)) >> 13u;
  if (a < 0x38800000u) {
    let s = min(126u - (a >> 23u), 25u);
    let m = (a & 0x7fffffu) | 0x800000u;
    h = (m + (1u << (s - 1u)) - 1u + ((m >> s) & 1u)) >> s;
  }
  if (a >= 0x47800000u) { h = select(0x7c00u, 0x7e00u, a > 0x7f800000u); }
  return h | ((b >> 16u) & 0x8000u);
}
fn f16_of(v: f32) -> f32 { return unpack2x16float(f16_bits(v)).x; }`,
    rounded: 'f16_of',
    word: (low, high) => `f16_bits(${low}) | (f16_bits(${high}) << 16u)`,
    pair: (word) => `unpack2x16float(${word})`,
    four: (words) => `vec4f(unpack2x16float(${words}.x), unpack2x16float(${words}.y))`,
    one: (word, upper) => `unpack2x16float(select(${word}, ${word} >> 16u, ${upper})).x`,
  },
};

/** An operand in a shader. */
export interface Access {
  name: string;
  /** The variable. */
  data: string;
  readOnly: boolean;
  /** The variable is an array of vectors of four elements. */
  inFours: boolean;
}

/** The functions that load and store an operand of 16-bit elements (ShaderSpec.operands). */
export function halfAccessors({ name, data, readOnly, inFours }: Access, type: HalfType): string {
  const { word, pair, four, one } = halves[type];
  if (inFours) {
    const load = `fn load4_${name}(i: u32) -> vec4f { let w = ${data}[i]; return ${four('w')}; }`;
    if (readOnly) return load;
    return `${load}\nfn store4_${name}(i: u32, v: vec4f) { ${data}[i] = vec2u(${word('v.x', 'v.y')}, ${word('v.z', 'v.w')}); }`;
  }
  const loads = `fn load_${name}(i: u32) -> f32 { let w = ${data}[i >> 1u]; return ${one('w', '(i & 1u) == 1u')}; }
fn load2_${name}(i: u32) -> vec2f { let w = ${data}[i]; return ${pair('w')}; }
fn load4_${name}(i: u32) -> vec4f { return vec4f(load2_${name}(2u * i), load2_${name}(2u * i + 1u)); }`;
  if (readOnly) return loads;
  return `${loads}
fn store2_${name}(i: u32, v: vec2f) { ${data}[i] = ${word('v.x', 'v.y')}; }
fn store4_${name}(i: u32, v: vec4f) { store2_${name}(2u * i, v.xy); store2_${name}(2u * i + 1u, v.zw); }`;
}
