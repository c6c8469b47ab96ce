/** Update masks (aip.dev/134): which fields of a resource an Update call changes. */
import { invalid, type Violations } from '#errors/errors.js';

/**
 * The updatable fields that `paths` selects. An absent or empty mask, or `*`, selects all of them. A path below a field
 * (`spec.rate`) is only allowed where `updatable` lists it. Throws InvalidArgument for unknown, immutable or repeated paths.
 */
export function parseUpdateMask(paths: readonly string[] | undefined, updatable: readonly string[], field = 'update_mask'): Set<string> {
  if (paths === undefined || paths.length === 0) return new Set(updatable);
  if (paths.length === 1 && paths[0] === '*') return new Set(updatable);
  const selected = new Set<string>();
  for (const path of paths) {
    if (!updatable.includes(path)) throw invalid(field, path, `of ${updatable.join(', ')}, or "*" alone`);
    if (selected.has(path)) throw invalid(field, paths.join(','), `without repeated paths (${path})`);
    selected.add(path);
  }
  return selected;
}

/** Same as parseUpdateMask, but collects violations instead of throwing. */
export function checkUpdateMask(
  violations: Violations,
  paths: readonly string[] | undefined,
  updatable: readonly string[],
  field = 'update_mask',
): Set<string> | undefined {
  return violations.collect(() => parseUpdateMask(paths, updatable, field));
}
