/** Numbers as the console shows them: short, because tables and charts are dense. */

/** `1h 02m`, `3m 05s`, `12s`, `0.4s`; a dash for what is not known. */
export function duration(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds) || seconds < 0) return '–';
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  const hours = Math.floor(whole / 3600);
  if (hours < 48) return `${hours}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** `1,234`. */
export const count = (value: number): string => (Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '–');

/** `5.7 M`, `22 k`: a count where the last digits do not matter. */
export function roughly(value: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return count(value);
}

/** `149 MB`; units are powers of 1,000. */
export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  return `${roughly(value)}B`;
}

/** A rate or a loss with `digits` significant digits, with an exponent only where the text would be long. */
export function significant(value: number, digits = 4): string {
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-3 && magnitude < 1e6) return String(Number(value.toPrecision(digits)));
  return value
    .toExponential(Math.max(0, digits - 2))
    .replace(/\.0+e/, 'e')
    .replace('e+', 'e');
}

/** `62.5 %` of a fraction from 0 to 1. */
export const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;
