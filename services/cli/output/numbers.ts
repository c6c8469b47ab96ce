/** Formats numbers for people. */

/** `1 h 02 min`, `3 min 05 s`, `12 s`, `0.4 s`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-';
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const hours = Math.floor(whole / 3600);
  return `${hours} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** `149 MB`, `3.2 GB`; units are powers of 1,000. */
export function bytes(size: number | bigint): string {
  let value = Number(size);
  for (const unit of ['B', 'kB', 'MB', 'GB', 'TB']) {
    if (value < 1000 || unit === 'TB') return `${unit === 'B' || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return '';
}

/** `1,234`. */
export function count(value: number | bigint): string {
  return (typeof value === 'bigint' ? value : BigInt(Math.round(value))).toLocaleString('en-US');
}

/** A rate or loss with `digits` significant digits; without an exponent if the text stays short. */
export function significant(value: number, digits = 4): string {
  if (value === 0) return '0';
  const magnitude = Math.abs(value);
  return magnitude < 1e-4 || magnitude >= 1e6 ? value.toExponential(Math.max(0, digits - 2)) : String(Number(value.toPrecision(digits)));
}

/** A progress bar of `width` characters for a fraction from 0 to 1. */
export function bar(share: number, width = 20): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`;
}
