/**
 * exp and log computed with IEEE + − × ÷ in a fixed order, for values that must have the same bits on every machine: ECMAScript does not specify the
 * last bits of Math.exp and Math.log. Accurate to about 1 ulp.
 */

const LN2_HIGH = 0.6931471803691238; // ln 2 rounded to 33 bits: k · LN2_HIGH is exact for |k| < 2^20
const LN2_LOW = 1.9082149292705877e-10; // ln 2 − LN2_HIGH

const bits = new DataView(new ArrayBuffer(8));

/** 2^k for −1074 ≤ k ≤ 1023, exact. */
function powerOfTwo(k: number): number {
  if (k >= -1022) {
    bits.setUint32(0, (k + 1023) << 20);
    bits.setUint32(4, 0);
    return bits.getFloat64(0);
  }
  return powerOfTwo(k + 1000) * powerOfTwo(-1000);
}

/** Natural logarithm of a finite x > 0; −Infinity at 0, NaN below, Infinity at Infinity. */
export function log(x: number): number {
  if (!(x > 0) || x === Number.POSITIVE_INFINITY) return x === 0 ? Number.NEGATIVE_INFINITY : x > 0 ? x : Number.NaN;
  let exponent = 0;
  let value = x;
  if (value < 2.2250738585072014e-308) {
    value *= 18014398509481984; // 2^54
    exponent = -54;
  }
  bits.setFloat64(0, value);
  const high = bits.getUint32(0);
  exponent += (high >>> 20) - 1023;
  bits.setUint32(0, (high & 0x000fffff) | 0x3ff00000);
  let mantissa = bits.getFloat64(0); // [1, 2)
  if (mantissa > Math.SQRT2) {
    mantissa *= 0.5;
    exponent += 1;
  }
  // log m = f − (f²/2 − s·(f²/2 + series)) with f = m − 1, s = f / (2 + f): the atanh series with its leading term kept exact.
  const f = mantissa - 1;
  const s = f / (2 + f);
  const z = s * s;
  let series = 0;
  for (let k = 23; k >= 3; k -= 2) series = (series + 2 / k) * z;
  const half = 0.5 * f * f;
  return exponent * LN2_HIGH - (half - (s * (half + series) + exponent * LN2_LOW) - f);
}

/** e^x; 0 below −745.14, Infinity above 709.79. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -745.1332191019412) return 0;
  const k = Math.round(x * Math.LOG2E);
  const r = x - k * LN2_HIGH - k * LN2_LOW; // |r| ≤ 0.35
  let sum = 1;
  for (let n = 14; n >= 1; n--) sum = 1 + (sum * r) / n;
  return k > 1000 ? sum * powerOfTwo(1000) * powerOfTwo(k - 1000) : sum * powerOfTwo(k);
}
