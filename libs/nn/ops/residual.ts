import { type Apply, operation } from '../operation.js';
import { elements, type Path, type Tensor } from '../tensor.js';

type Attributes = 'width' | 'path' | 'scaled';
type GatherKept = { inputs: 'x'; attributes: Attributes };
type ScatterAddKept = { inputs: 'x' | 'y'; attributes: Attributes };

/**
 * Selects the samples that the path keeps, in ascending order; multiplies by 1/(1 − p) if `scaled`. x: [...] of all samples → y: [...] of the kept
 * samples.
 */
const gatherKept: Apply<GatherKept> = operation<GatherKept>({
  name: 'gather_kept',
  shape: ({ x }) => x,
  gradient: (dy, { attributes, path }) => ({ x: { into: (sum) => scatterAddKept({ x: sum, y: dy }, attributes, { path, domain: 0 }).y } }),
  tfjs: (tf, { x }, { scaled }, { kept }) => {
    const { indices, scale } = requireKept(kept);
    const y = tf.gather(x, indices);
    return { y: scaled ? tf.mul(y, scale) : y };
  },
});

/** Adds y of the kept samples (times 1/(1 − p) if `scaled`) to the rows of x that belong to them. */
const scatterAddKept: Apply<ScatterAddKept> = operation<ScatterAddKept>({
  name: 'scatter_add_kept',
  shape: ({ x }) => x,
  inPlace: 'x',
  gradient: (dout, { attributes, path }) => ({
    x: () => dout,
    y: () => gatherKept({ x: dout }, attributes, { path, domain: domainOf(path) }).y,
  }),
  tfjs: (tf, { x, y }, { scaled }, { kept }) => {
    const { indices, scale } = requireKept(kept);
    const [samples = 0] = x.shape;
    const placed = tf.scatterND(tf.expandDims(indices, 1), scaled ? tf.mul(y, scale) : y, [samples, ...y.shape.slice(1)]);
    return { y: tf.add(x, placed) };
  },
});

function requireKept<T>(kept: T | undefined): T {
  if (kept === undefined) throw new Error('a drop path was run without its kept samples');
  return kept;
}

function domainOf(path: Path | undefined): number {
  if (path === undefined) throw new Error('a drop path is missing');
  return path.index + 1;
}

/**
 * x + branch(x) under stochastic depth: the branch is only computed for the samples that `path` keeps, and its result is multiplied by 1/(1 − p).
 * This is the only place that implements stochastic depth. The branch is traced once, on "the kept samples", so an executor can skip the others. If
 * no sample is kept, the gradients of the branch's parameters are zero.
 */
export function residual(x: Tensor, path: Path, branch: (kept: Tensor) => Tensor): Tensor {
  if (x.domain !== 0) throw new Error('a residual branch cannot be inside another');
  const place = { width: elements(x.shape), path: path.index };
  const y = branch(gatherKept({ x }, { ...place, scaled: 0 }, { path, domain: domainOf(path) }).y);
  return scatterAddKept({ x, y }, { ...place, scaled: 1 }, { path, domain: 0 }).y;
}
