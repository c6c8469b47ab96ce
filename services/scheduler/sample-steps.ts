/** Evenly spaced steps of a training without repetitions: the first step for a count of 1, otherwise including the first and the last one. */
import { type TrainingLength, totalSteps } from '#schedule/index.js';

export function sampleSteps(samples: number, length: TrainingLength): number[] {
  const total = totalSteps(length);
  const n = Math.min(samples, total);
  if (n <= 1) return n === 0 ? [] : [0];
  // The division comes first, because k · (total − 1) could exceed 2^53.
  const spacing = (total - 1) / (n - 1);
  return Array.from({ length: n }, (_, k) => (k === n - 1 ? total - 1 : Math.floor(k * spacing)));
}
