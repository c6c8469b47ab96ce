/** GELU in WGSL, which has no error function. */

/**
 * `gelu(x)` and `gelu_slope(x)`: x · Φ(x) and its derivative, in the exact form. The upper tail of the normal distribution is e^(−x²/2) / 2 ·
 * (1 + w · q(w)) with w = z / (z + 2), z = |x| / √2, and the polynomial of the native engine (libs/native/simd/functions.h): Φ is right to 2e-7 plus
 * the error of the device's exp, and relatively so in the lower tail.
 */
export const GELU = `
fn upper_tail(x: f32, gaussian: f32) -> f32 {
  let s = min(1e6, abs(x) * 0.353553391);
  let w = s / (s + 1.0);
  var q = -0.048814213084;
  q = fma(q, w, 0.059743196812);
  q = fma(q, w, 0.083763936978);
  q = fma(q, w, 0.0029031403836);
  q = fma(q, w, -0.30941605681);
  q = fma(q, w, -0.27501169464);
  q = fma(q, w, 1.7432578183);
  q = fma(q, w, -2.2567586981);
  return 0.5 * gaussian * fma(w, q, 1.0);
}
fn below(x: f32, gaussian: f32) -> f32 {
  let tail = upper_tail(x, gaussian);
  return select(1.0 - tail, tail, x < 0.0);
}
fn gelu(x: f32) -> f32 { return x * below(x, exp(-0.5 * x * x)); }
fn gelu_slope(x: f32) -> f32 {
  let gaussian = exp(-0.5 * x * x);
  return fma(x * 0.398942280, gaussian, below(x, gaussian));
}
`;

/** The call of a function of one f32 for each component of a vector. */
export const eachOf = (count: 1 | 2 | 4, name: string, value: string): string =>
  count === 1 ? `${name}(${value})` : `vec${count}f(${Array.from('xyzw'.slice(0, count), (c) => `${name}(${value}.${c})`).join(', ')})`;
