/**
 * The loss scaling of precision f16. Its gradients would vanish in f16, so the losses of a step are multiplied by a factor, and the update divides the
 * gradient by it. The rules and constants are those of torch.amp.GradScaler: a step whose gradient is not finite changes no weight and no moment, and
 * halves the factor; 2000 steps without one double it.
 */
export interface LossScaling {
  /** The factor of the next step, a power of two. */
  readonly scale: number;
  /** Steps since the factor has changed. */
  readonly steadySteps: number;
  /** Steps that were skipped so far. The optimizer does not count them. */
  readonly skippedSteps: number;
}

const GROWTH_INTERVAL = 2000;
const LARGEST = 2 ** 127;
/** A gradient that overflows with a smaller factor is not the factor's fault. */
const SMALLEST = 2 ** -24;

export const firstLossScaling: LossScaling = { scale: 65536, steadySteps: 0, skippedSteps: 0 };

/** The state after a step. Undefined if the step was skipped and the factor cannot become smaller: training cannot continue. */
export function afterStep({ scale, steadySteps, skippedSteps }: LossScaling, skipped: boolean): LossScaling | undefined {
  if (skipped) return scale <= SMALLEST ? undefined : { scale: scale / 2, steadySteps: 0, skippedSteps: skippedSteps + 1 };
  if (steadySteps + 1 < GROWTH_INTERVAL) return { scale, steadySteps: steadySteps + 1, skippedSteps };
  return { scale: Math.min(LARGEST, 2 * scale), steadySteps: 0, skippedSteps };
}
