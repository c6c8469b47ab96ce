import { operation } from '../operation.js';
import type { Tensor } from '../tensor.js';

/**
 * Loss of every sample against soft targets t: y = −Σ t · log softmax(logits). logits, targets: [C] → y: [1]. The gradient starts here, so the
 * operation saves it: dlogits = (softmax · Σt − t) · lossScale.
 */
const apply = operation<{ inputs: 'logits' | 'targets'; attributes: 'classes'; saves: 'dlogits' }>({
  name: 'softmax_cross_entropy',
  shape: () => [1],
  saves: { dlogits: (_, { classes }) => [classes] },
  gradient: (_, { saved: { dlogits } }) => ({ logits: () => dlogits }),
  tfjs: (tf, { logits, targets }, _, { lossScale }) => {
    const logSoftmax = tf.sub(logits, tf.logSumExp(logits, -1, true));
    const total = tf.sum(targets, -1, true);
    return {
      y: tf.neg(tf.sum(tf.mul(targets, logSoftmax), -1, true)),
      dlogits: tf.mul(tf.sub(tf.mul(tf.exp(logSoftmax), total), targets), lossScale),
    };
  },
});

/** Loss [1] of logits [C] against targets [C]. */
export function softmaxCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const [classes = 0] = targets.shape;
  if (logits.shape.length !== 1 || logits.shape[0] !== classes) throw new Error(`logits are [${logits.shape}], targets [${targets.shape}]`);
  return apply({ logits, targets }, { classes }).y;
}
