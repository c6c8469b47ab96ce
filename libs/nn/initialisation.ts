/**
 * Initial weights: a pure function of (seed, index of the parameter in the model, element), so any process computes the same ones. Philox with
 * purpose 'init'; the counter is (draw, parameter index, 0, 0); element i uses words 2i and 2i + 1.
 */
import { normalQuantile } from '#random/normal.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { elements, type Initializer, type Parameter } from './tensor.js';

export const constant = (value: number): Initializer => ({ kind: 'constant', value });
export const zeros = constant(0);
export const ones = constant(1);
/** Normal with mean 0. The reference truncates at ±2, which never happens at these deviations. */
export const normal = (std: number): Initializer => ({ kind: 'normal', std });
/** Uniform in (−bound, bound). */
export const uniform = (bound: number): Initializer => ({ kind: 'uniform', bound });

/** Glorot and Bengio (2010): uniform with variance 2/(fan_in + fan_out). */
export const xavierUniform = (fanIn: number, fanOut: number): Initializer => uniform(Math.sqrt(6 / (fanIn + fanOut)));

/**
 * Elements [begin, end) of a parameter; default: all. Drawing takes about 60 ms for a million elements. The addon draws the same bits on its own
 * threads (libs/native/vm/parameters.cc).
 */
export function initialValues(
  { shape, initializer, index }: Pick<Parameter, 'shape' | 'initializer' | 'index'>,
  seed: bigint,
  begin = 0,
  end = elements(shape),
): Float32Array {
  const values = new Float32Array(end - begin);
  if (initializer.kind === 'constant') return values.fill(initializer.value);
  const draws = new PhiloxDraws(purposeKey(seed, 'init'), index);
  for (let i = 0; i < values.length; i++) {
    const u = draws.uniformOpen(begin + i);
    values[i] = initializer.kind === 'normal' ? initializer.std * normalQuantile(u) : initializer.bound * (2 * u - 1);
  }
  return values;
}
