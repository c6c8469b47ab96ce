/**
 * An exponential moving average whose first values are not pulled towards 0: weight `alpha`, 0 to below 1, of what came before. NaN is passed over, so
 * that one step without a value does not end the curve.
 */
export function smooth(values: ArrayLike<number>, alpha: number): Float64Array {
  const result = new Float64Array(values.length);
  let [sum, weight] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isFinite(value)) {
      sum = alpha * sum + (1 - alpha) * value;
      weight = alpha * weight + (1 - alpha);
    }
    result[i] = weight === 0 || !Number.isFinite(value) ? Number.NaN : sum / weight;
  }
  return result;
}
