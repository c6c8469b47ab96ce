/**
 * Draws from Beta(α, α) by two gamma variates (Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26, 2000; for α below
 * 1, Gamma(α) = Gamma(α + 1) · U^(1/α)). Computed in logarithms so that small α do not underflow, with the exp and log of libs/random.
 */
import { exp, log } from '#random/elementary.js';
import type { Draws } from './draws.js';

/** `alpha` must be above 0. The result lies in [0, 1]; small values of alpha can give exactly 0 or 1. */
export function drawBeta(draws: Draws, alpha: number): number {
  const first = logGamma(draws, alpha);
  const second = logGamma(draws, alpha);
  return 1 / (1 + exp(second - first));
}

/** Logarithm of a Gamma(α, 1) variate. */
function logGamma(draws: Draws, alpha: number): number {
  if (alpha < 1) return logGamma(draws, alpha + 1) + log(draws.openUnit()) / alpha;
  const d = alpha - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    // More than 95 of 100 draws are accepted, for every α ≥ 1.
    const x = draws.normal();
    const root = 1 + c * x;
    const u = draws.openUnit();
    if (root <= 0) continue;
    const v = root * root * root;
    if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return log(d * v);
  }
}
