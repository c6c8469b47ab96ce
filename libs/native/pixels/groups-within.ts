/** Splits work into groups, so that only one group's data is in memory at a time. */

/**
 * Groups of consecutive items whose `bytes` together fit the bounds. An item that exceeds the bounds is a group of its own. There is at least
 * one group, which is empty if there are no items.
 */
export function groupsWithin(
  bytes: readonly number[],
  { maxBytes, maxItems = Number.POSITIVE_INFINITY }: { readonly maxBytes: number; readonly maxItems?: number },
): [from: number, to: number][] {
  const groups: [number, number][] = [];
  let from = 0;
  let held = 0;
  for (let i = 0; i < bytes.length; i++) {
    if (i > from && (i - from === maxItems || held + bytes[i]! > maxBytes)) {
      groups.push([from, i]);
      [from, held] = [i, 0];
    }
    held += bytes[i]!;
  }
  groups.push([from, bytes.length]);
  return groups;
}
