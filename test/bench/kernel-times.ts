/** Where recorded kernel calls spent their time: totals by kernel, by kernel and shape, and by the groups that a breakdown names. */
import type { KernelCall } from '#engine/executable.js';
import { flopOfKernel } from './multiply-adds.js';

export const kernelGroups = ['products', 'attention', 'convolutions', 'norms', 'elementwise', 'optimizer'] as const;
export type KernelGroup = (typeof kernelGroups)[number];

/** The first match wins. */
const groups: readonly [RegExp, KernelGroup][] = [
  [/^linear|^pack_weight/, 'products'],
  [/attention/, 'attention'],
  [/^depthwise_conv/, 'convolutions'],
  [/^layer_norm/, 'norms'],
  [/^(zero_gradients|gradient_norm|optimizer)$/, 'optimizer'],
];

export const groupOf = (kernel: string): KernelGroup => groups.find(([pattern]) => pattern.test(kernel))?.[1] ?? 'elementwise';

export interface KernelTime {
  name: string;
  calls: number;
  seconds: number;
  /** As if every call had taken as long as the fastest of the same shape: what a busy machine hides. */
  atBest: number;
  /** Of products, attention and convolutions; 0 otherwise. */
  flop: number;
  bytes: number;
}

/** Calls without the time of the packs inside them, which are calls of their own. */
export function ownTimes(calls: readonly KernelCall[]): { call: KernelCall; seconds: number }[] {
  let packs: { begin: number; seconds: number }[] = [];
  return calls.map((call) => {
    const seconds = call.end - call.begin;
    if (call.part === 'pack') {
      packs.push({ begin: call.begin, seconds });
      return { call, seconds };
    }
    // Calls come in order of their ends, so the packs inside this one are those since the last.
    const inside = packs.filter(({ begin }) => begin >= call.begin).reduce((sum, pack) => sum + pack.seconds, 0);
    packs = [];
    return { call, seconds: seconds - inside };
  });
}

/** Totals by `nameOf`, the longest first. `optimizerBytes`: moved by one optimizer call, which the engine does not know. */
export function kernelTimes(calls: readonly KernelCall[], nameOf: (call: KernelCall) => string, optimizerBytes = 0): KernelTime[] {
  const totals = new Map<string, KernelTime>();
  const own = ownTimes(calls);
  const fastest = new Map<string, number>();
  const alike = (call: KernelCall) => `${shapeOf(call)} ${call.samples} ${call.bytes}`;
  for (const { call, seconds } of own) fastest.set(alike(call), Math.min(seconds, fastest.get(alike(call)) ?? seconds));
  for (const { call, seconds } of own) {
    const name = nameOf(call);
    const total = totals.get(name) ?? { name, calls: 0, seconds: 0, atBest: 0, flop: 0, bytes: 0 };
    total.calls += 1;
    total.seconds += seconds;
    total.atBest += fastest.get(alike(call)) ?? seconds;
    total.flop += call.samples * flopOfKernel(call.kernel, call.attributes);
    total.bytes += call.kernel === 'optimizer' ? optimizerBytes : call.bytes;
    totals.set(name, total);
  }
  return [...totals.values()].sort((a, b) => b.seconds - a.seconds);
}

/** Sizes that tell the shapes of a kernel's calls apart; the rest (scales, paths) do not change its work. */
const sizes = ['rows', 'tokens', 'height', 'width', 'channels', 'in', 'out', 'kernel', 'window', 'shift', 'heads', 'head_dim', 'classes'];

/** Such as `linear rows 197 in 192 out 576`, with a mark where GELU is part of it. */
export function shapeOf({ kernel, attributes }: KernelCall): string {
  const named = sizes.flatMap((name) => (attributes[name] === undefined ? [] : [`${name} ${attributes[name]}`]));
  return [kernel, ...named, ...(attributes.gelu ? ['+ gelu'] : [])].join(' ');
}

/** Milliseconds of every group, per step. */
export function groupMilliseconds(calls: readonly KernelCall[], steps: number): Record<KernelGroup, number> {
  const totals = new Map(kernelTimes(calls, ({ kernel }) => groupOf(kernel)).map(({ name, seconds }) => [name, seconds]));
  const entries = kernelGroups.map((group) => [group, (1000 * (totals.get(group) ?? 0)) / steps] as const);
  return Object.fromEntries(entries) as Record<KernelGroup, number>;
}
