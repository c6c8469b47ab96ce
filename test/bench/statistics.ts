/** The value that a share q in [0, 1] of the values lies below: linear between neighbours. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = q * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  if (low === undefined || high === undefined) throw new RangeError('no values');
  return low + (high - low) * (place - Math.floor(place));
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Whether two measurements of the same thing are so far apart that something else must have run. */
export const uneven = (large: number, small: number): boolean => large > 1.25 * small;

/** To `digits` significant digits, for people to read. */
export const rounded = (value: number, digits = 4): number => Number(value.toPrecision(digits));
