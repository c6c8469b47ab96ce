/** Order of Unicode code points, which UTF-8 bytes have and UTF-16 units have not. */
export function byCodePoint(a: string, b: string): number {
  // Below the surrogates both orders are the same.
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}

const SURROGATE = /[\uD800-\uDFFF]/;
