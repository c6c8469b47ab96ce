/**
 * Soft targets of the training loss. With smoothing s over C classes: off = s/C, on = 1 − s + off; a mixed sample has
 * λ·smoothed(label) + (1 − λ)·smoothed(partner's label). Smoothing acts at λ = 1 too. Cross-entropy against these equals
 * (1 − s)·NLL + s·mean(−log p) where nothing is mixed, and plain cross-entropy at s = 0.
 */
export interface TargetRule {
  classes: number;
  /** In [0, 1). */
  smoothing: number;
}

export interface Mix {
  /** Per sample, in [0, 1]. */
  lambdas: ArrayLike<number>;
  /** Label of every sample's partner. */
  partnerLabels: ArrayLike<number>;
}

/** Targets [labels.length, classes], computed in float64 and rounded once. */
export function buildTargets(labels: ArrayLike<number>, { classes, smoothing }: TargetRule, mix?: Mix): Float32Array {
  const off = smoothing / classes;
  const on = 1 - smoothing + off;
  const targets = new Float32Array(labels.length * classes);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] as number;
    const lambda = mix === undefined ? 1 : (mix.lambdas[i] as number);
    const partner = mix === undefined ? label : (mix.partnerLabels[i] as number);
    for (const wanted of [label, partner]) {
      if (!Number.isInteger(wanted) || wanted < 0 || wanted >= classes)
        throw new RangeError(`label ${wanted} is not one of ${classes} classes`);
    }
    const row = i * classes;
    targets.fill(lambda * off + (1 - lambda) * off, row, row + classes);
    if (partner === label) {
      targets[row + label] = lambda * on + (1 - lambda) * on;
    } else {
      targets[row + label] = lambda * on + (1 - lambda) * off;
      targets[row + partner] = lambda * off + (1 - lambda) * on;
    }
  }
  return targets;
}
