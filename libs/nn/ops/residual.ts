import { type Apply, operation } from '../operation.js';
import { elements, type Path, type Tensor } from '../tensor.js';

type Attributes = 'width' | 'path' | 'scaled';
type GatherKept = { inputs: 'x'; attributes: Attributes };
type ScatterAddKept = { inputs: 'x' | 'y'; attributes: Attributes };

/** The samples that the path keeps, ascending; times 1/(1 − p) if `scaled`. x: [...] of all samples → y: [...] of the kept. */
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

/** x, with the kept samples' y (times 1/(1 − p) if `scaled`) added where they belong. */
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
 * x + branch(x), under stochastic depth: the branch sees only the samples that `path` keeps, and counts 1/(1 − p) for them.
 * The one place where stochastic depth exists. The branch is traced once, over "the kept samples", so an executor can skip the rest;
 * without any kept sample its parameters have zero gradients.
 */
export function residual(x: Tensor, path: Path, branch: (kept: Tensor) => Tensor): Tensor {
  if (x.domain !== 0) throw new Error('A residual branch cannot stand inside another');
  const place = { width: elements(x.shape), path: path.index };
  const y = branch(gatherKept({ x }, { ...place, scaled: 0 }, { path, domain: domainOf(path) }).y);
  return scatterAddKept({ x, y }, { ...place, scaled: 1 }, { path, domain: 0 }).y;
}
