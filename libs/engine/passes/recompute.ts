/**
 * Trades time for memory: only the input of a block is stored, and the block's forward pass runs again before its backward pass. The bits do not
 * change, because the same kernels run on the same values and types, and the masks are functions of counters.
 */
import type { Path } from '#nn/tensor.js';
import { type KernelCall, type LoweredValue, type Passes, readBy, renamed, withoutUnread, writtenBy } from './calls.js';

/** Adds the values of the second run to `values`. Models without blocks are not changed. */
export function recomputeBlocks({ forward, backward }: Passes, values: LoweredValue[], paths: readonly Path[]): Passes {
  let after = [...backward];
  for (const block of blocksOf(forward, paths)) after = recomputeBlock(block, after, values);
  return { forward: withoutUnread(forward, after), backward: after };
}

/** The calls of each block: from its first gather_kept to its last scatter_add_kept. */
function blocksOf(forward: readonly KernelCall[], paths: readonly Path[]): KernelCall[][] {
  const spans = new Map<number, { first: number; last: number }>();
  forward.forEach(({ kernel, attributes }, at) => {
    if (kernel !== 'gather_kept' && kernel !== 'scatter_add_kept') return;
    const block = paths[attributes.path ?? -1]?.block;
    if (block === undefined) throw new Error(`${kernel}: there is no path ${attributes.path}`);
    spans.set(block, { first: spans.get(block)?.first ?? at, last: at });
  });
  return [...spans.values()].map(({ first, last }) => forward.slice(first, last + 1));
}

function recomputeBlock(block: readonly KernelCall[], backward: readonly KernelCall[], values: LoweredValue[]): KernelCall[] {
  const inside = new Set(block.flatMap(writtenBy));
  for (const result of writtenBy(block.at(-1) as KernelCall)) inside.delete(result); // it enters the next block
  const needed = new Set(backward.flatMap(readBy).filter((value) => inside.has(value)));
  const again: KernelCall[] = [];
  for (const call of block.toReversed()) {
    if (!writtenBy(call).some((value) => needed.has(value))) continue;
    again.unshift(call);
    for (const value of readBy(call)) if (inside.has(value)) needed.add(value);
  }
  const copies = new Map<number, number>();
  for (const value of again.flatMap(writtenBy)) copies.set(value, values.push({ ...(values[value] as LoweredValue) }) - 1);
  const later = backward.map((call) => renamed(call, copies));
  const start = backward.findIndex((call) => readBy(call).some((value) => copies.has(value)));
  return start === -1 ? later : [...later.slice(0, start), ...again.map((call) => renamed(call, copies)), ...later.slice(start)];
}
