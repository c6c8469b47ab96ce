/** Evenly spaced steps of a training: the first alone for 1, first and last included from 2 on, each step at most once. */
import { type TrainingLength, totalSteps } from '#schedule/index.js';

export function sampleSteps(samples: number, length: TrainingLength): number[] {
  const total = totalSteps(length);
  const n = Math.min(samples, total);
  if (n <= 1) return n === 0 ? [] : [0];
  // The quotient first: k · (total − 1) could pass 2^53.
  const spacing = (total - 1) / (n - 1);
  return Array.from({ length: n }, (_, k) => (k === n - 1 ? total - 1 : Math.floor(k * spacing)));
}
