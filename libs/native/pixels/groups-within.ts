/** What is held in memory at a time, where holding all of it would take too much. */

/** Runs of items, in order, whose `bytes` fit the bounds together; an item above them is a run of its own. At least one run, empty where there are no items. */
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
