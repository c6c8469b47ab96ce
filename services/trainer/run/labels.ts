/** The labels of a run: text by key, for people and lists. They do not affect the training. */
import type { Violations } from '#errors/errors.js';

export type Labels = Readonly<Record<string, string>>;

const maxLabels = 64;
export const labelKeyPattern = /^[a-z][a-z0-9_-]{0,62}$/;
const labelValuePattern = /^[A-Za-z0-9_.-]{0,63}$/;

/** Adds a violation for each label that is not allowed. */
export function checkLabels(violations: Violations, labels: Labels): void {
  const entries = Object.entries(labels);
  violations.check(entries.length <= maxLabels, 'labels', `${entries.length} labels`, `at most ${maxLabels} labels`);
  for (const [key, value] of entries.slice(0, maxLabels)) {
    violations.check(labelKeyPattern.test(key), 'labels', key, 'keys that match [a-z][a-z0-9_-]{0,62}');
    violations.check(
      labelValuePattern.test(value),
      `labels.${key.slice(0, 63)}`,
      value,
      'empty, or 1 to 63 characters of A-Z a-z 0-9 _ . -',
    );
  }
}
