import type { OptimizerStep } from '#engine/index.js';

/** Step `step`, from 1 on, of AdamW with the moments of torch.optim.AdamW. */
export const adamw = (step: number, scalars: Pick<OptimizerStep, 'clip' | 'learningRate' | 'weightDecay' | 'emaDecay'>): OptimizerStep => ({
  ...{ kind: 'adamw', beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum: 0 },
  step,
  ...scalars,
});
