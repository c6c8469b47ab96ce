import type * as tfjs from '@tensorflow/tfjs-core';
import type { DropScope } from '../model.js';
import { operation, type TensorFlow } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

type Sizes = 'tokens' | 'heads' | 'head_dim' | 'scale';
type SizeValues = { readonly [name in Sizes]: number };

/** [n, N, k·h·d] → k tensors [n, h, N, d]. */
function splitHeads(tf: TensorFlow, x: tfjs.Tensor, k: number, { tokens, heads, head_dim }: SizeValues): tfjs.Tensor[] {
  return tf.unstack(tf.transpose(tf.reshape(x, [-1, tokens, k, heads, head_dim]), [2, 0, 3, 1, 4]));
}

/** The reverse of splitHeads. */
function mergeHeads(tf: TensorFlow, parts: tfjs.Tensor[], { tokens, heads, head_dim }: SizeValues): tfjs.Tensor {
  return tf.reshape(tf.transpose(tf.stack(parts), [1, 3, 0, 2, 4]), [-1, tokens, parts.length * heads * head_dim]);
}

/**
 * Softmax attention of every head, from the fused projection: qkv [N, 3·h·d] split as (3, heads, head_dim) → y [N, h·d].
 * p = softmax(q · kᵀ · scale), dropout at the site [h, N, N] acts on p; y = p · v. Saves the log-sum-exp of each row, not p.
 */
const apply = operation<{ inputs: 'qkv'; attributes: Sizes; saves: 'lse' }>({
  name: 'attention',
  shape: (_, { tokens, heads, head_dim }) => [tokens, heads * head_dim],
  saves: { lse: (_, { heads, tokens }) => [heads, tokens] },
  gradient: (dy, { inputs: { qkv }, y: out, saved: { lse }, attributes, site }) => ({
    qkv: () => gradient({ qkv, out, lse, dy }, attributes, { site }).y,
  }),
  tfjs: (tf, { qkv }, attributes, { mask }) => {
    const [q, k, v] = splitHeads(tf, qkv, 3, attributes) as [tfjs.Tensor, tfjs.Tensor, tfjs.Tensor];
    const scores = tf.mul(tf.matMul(q, k, false, true), attributes.scale);
    const lse = tf.logSumExp(scores, -1, true);
    const p = tf.exp(tf.sub(scores, lse));
    const y = tf.matMul(mask ? tf.mul(p, mask) : p, v);
    return { y: mergeHeads(tf, [y], attributes), lse: tf.reshape(lse, [-1, attributes.heads, attributes.tokens]) };
  },
});

/** With p from lse, m the mask: dv = (p·m)ᵀ dy; g = (dy · vᵀ)·m; ds = p · (g − Σ dy·y) · scale; dq = ds · k; dk = dsᵀ · q. */
const gradient = operation<{ inputs: 'qkv' | 'out' | 'lse' | 'dy'; attributes: Sizes }>({
  name: 'attention_grad',
  shape: ({ qkv }) => qkv,
  tfjs: (tf, { qkv, out, lse, dy }, attributes, { mask }) => {
    const [q, k, v] = splitHeads(tf, qkv, 3, attributes) as [tfjs.Tensor, tfjs.Tensor, tfjs.Tensor];
    const [y, dyHeads] = [splitHeads(tf, out, 1, attributes)[0], splitHeads(tf, dy, 1, attributes)[0]] as [tfjs.Tensor, tfjs.Tensor];
    const scores = tf.mul(tf.matMul(q, k, false, true), attributes.scale);
    const p = tf.exp(tf.sub(scores, tf.expandDims(lse, -1)));
    const dv = tf.matMul(mask ? tf.mul(p, mask) : p, dyHeads, true, false);
    const reach = tf.matMul(dyHeads, v, false, true);
    const g = mask ? tf.mul(reach, mask) : reach;
    const ds = tf.mul(tf.mul(p, tf.sub(g, tf.sum(tf.mul(dyHeads, y), -1, true))), attributes.scale);
    return { y: mergeHeads(tf, [tf.matMul(ds, k), tf.matMul(ds, q, true, false), dv], attributes) };
  },
});

/** Multi-head attention over qkv [N, 3·D]: [N, D]. The dropout site has shape [heads, N, N]; q is scaled by head_dim^−½. */
export function attention(qkv: Tensor, heads: number, drop: DropScope): Tensor {
  const { rows: tokens, width } = rowsOf(qkv.shape);
  const headDim = width / 3 / heads;
  if (!Number.isInteger(headDim)) throw new RangeError(`attention: ${heads} heads do not divide a width of ${width / 3}`);
  const attributes = { tokens, heads, head_dim: headDim, scale: headDim ** -0.5 };
  return apply({ qkv }, attributes, { site: drop.site([heads, tokens, tokens]) }).y;
}
