/** A profile as Chrome's trace JSON, which ui.perfetto.dev and chrome://tracing open. */
import type { KernelCall, ThreadJob } from '#engine/executable.js';
import { groupOf, shapeOf } from './kernel-times.js';
import { flopOfKernel } from './multiply-adds.js';

/** A stretch of the step as JavaScript sees it; seconds of the monotonic clock. */
export interface Span {
  name: string;
  begin: number;
  end: number;
}

const PROCESS = 1;
const [STEP_TRACK, KERNEL_TRACK, FIRST_THREAD_TRACK] = [1, 2, 10];

export function chromeTrace(title: string, spans: readonly Span[], calls: readonly KernelCall[], jobs: readonly ThreadJob[]): string {
  const origin = Math.min(...[...spans, ...calls].map(({ begin }) => begin));
  const slice = (track: number, name: string, { begin, end }: { begin: number; end: number }, more: object = {}) => ({
    ...{ ph: 'X', pid: PROCESS, tid: track, name },
    ...{ ts: 1e6 * (begin - origin), dur: 1e6 * (end - begin) },
    ...more,
  });
  const named = (what: string, track: number, name: string) => ({ ph: 'M', name: what, pid: PROCESS, tid: track, args: { name } });
  const threads = [...new Set(jobs.map(({ thread }) => thread))].sort((a, b) => a - b);
  const events = [
    named('process_name', 0, title),
    named('thread_name', STEP_TRACK, 'step'),
    named('thread_name', KERNEL_TRACK, 'kernels'),
    ...threads.map((thread) => named('thread_name', FIRST_THREAD_TRACK + thread, `jobs of thread ${thread}`)),
    ...spans.map((span) => slice(STEP_TRACK, span.name, span)),
    ...calls.map((call) => slice(KERNEL_TRACK, call.kernel, call, { cat: groupOf(call.kernel), args: argumentsOf(call) })),
    ...jobs.map((job) => slice(FIRST_THREAD_TRACK + job.thread, 'job', job)),
  ];
  return JSON.stringify({ displayTimeUnit: 'ms', traceEvents: events });
}

function argumentsOf(call: KernelCall): Record<string, string | number> {
  const seconds = call.end - call.begin;
  const flop = call.samples * flopOfKernel(call.kernel, call.attributes);
  return {
    part: call.part,
    shape: shapeOf(call),
    samples: call.samples,
    ...(flop > 0 && { 'GFLOP/s': flop / seconds / 1e9 }),
    ...(call.bytes > 0 && { 'GB/s': call.bytes / seconds / 1e9 }),
  };
}
