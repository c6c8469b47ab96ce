/**
 * IEEE binary16 and bfloat16 as raw bits, to and from float32. Widening is exact; narrowing rounds to nearest, ties to even, keeps
 * subnormals, infinities and signs of zero, and makes every NaN a quiet one with its leading payload bits.
 */

/** @param bits float16 values, one in each element */
export function float16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i] as number;
    const sign = (half & 0x8000) << 16;
    const magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) words[i] = sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    else if (magnitude >= 0x400) words[i] = sign | ((magnitude << 13) + 0x38000000);
    else if (magnitude === 0) words[i] = sign;
    else {
      // Subnormal: magnitude · 2^−24, normalised so that its leading bit becomes the implicit one.
      const shift = Math.clz32(magnitude) - 21;
      words[i] = sign | ((113 - shift) << 23) | (((magnitude << shift) & 0x3ff) << 13);
    }
  }
  return new Float32Array(words.buffer);
}

/** @param bits bfloat16 values, one in each element */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] as number) << 16;
  return new Float32Array(words.buffer);
}

/** @returns float16 bits; beyond 65504 by half a unit or more: infinity */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const word = words[i] as number;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    let half: number;
    if (magnitude > 0x7f800000) half = 0x7e00 | ((magnitude >>> 13) & 0x3ff);
    else if (magnitude >= 0x477ff000) half = 0x7c00;
    else if (magnitude >= 0x38800000) {
      // Rebias the exponent; adding half a unit less one, plus the last kept bit, carries exactly where round-to-even does.
      half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    } else if (magnitude <= 0x33000000) half = 0;
    else {
      const shift = 126 - (magnitude >>> 23);
      const significand = (magnitude & 0x7fffff) | 0x800000;
      half = significand >>> shift;
      const rest = significand & ((1 << shift) - 1);
      const tie = 1 << (shift - 1);
      if (rest > tie || (rest === tie && (half & 1) === 1)) half++;
    }
    bits[i] = sign | half;
  }
  return bits;
}

/** @returns bfloat16 bits */
export function float32ToBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const word = words[i] as number;
    bits[i] = (word & 0x7fffffff) > 0x7f800000 ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}
