/** Top-k accuracy. */

/**
 * Rank of the label among the logits of one sample; 0 is the best. It is the number of classes with a greater logit plus the number of classes with
 * an equal logit and a lower index. A NaN logit counts as greater, so a broken model is never correct because of it.
 */
export function labelRank(logits: ArrayLike<number>, sample: number, classes: number, label: number): number {
  const start = sample * classes;
  const own = logits[start + label] as number;
  let rank = 0;
  for (let c = 0; c < classes; c++) {
    const other = logits[start + c] as number;
    if (c !== label && !(other < own || (other === own && c > label))) rank++;
  }
  return rank;
}

/** Number of `labels` whose rank is below k. logits: [labels.length, classes]. */
export function countTopK(logits: ArrayLike<number>, labels: ArrayLike<number>, classes: number, k: number): number {
  let count = 0;
  for (let i = 0; i < labels.length; i++) if (labelRank(logits, i, classes, labels[i] as number) < k) count++;
  return count;
}
