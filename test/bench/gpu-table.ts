/** Where a step's time goes on a device, kernel by kernel, beside the most that the device can do. */
import type { KernelCall } from '#engine/executable.js';
import type { DevicePeaks } from './gpu-peaks.js';
import { bandwidthAt, type Peak } from './kernel-rows.js';
import { flopOfKernel } from './multiply-adds.js';
import { textTable } from './text-table.js';

/** The totals of one kernel over all calls. */
interface DeviceTime {
  kernel: string;
  calls: number;
  seconds: number;
  flop: number;
  bytes: number;
  /** Share of the device's best: how long arithmetic or memory alone would take, whichever takes longer, of how long the calls took. */
  ofBest: number | undefined;
}

/** `optimizerBytes`: moved by one optimizer call, which the engine does not know. */
export function deviceTimes(calls: readonly KernelCall[], { adapter, peaks }: DevicePeaks, optimizerBytes: number): DeviceTime[] {
  const totals = new Map<string, DeviceTime & { least: number }>();
  for (const call of calls) {
    const { kernel } = call;
    const bytes = kernel === 'optimizer' ? optimizerBytes : call.bytes;
    const flop = call.samples * flopOfKernel(kernel, call.attributes);
    const total = totals.get(kernel) ?? { kernel, calls: 0, seconds: 0, flop: 0, bytes: 0, ofBest: undefined, least: 0 };
    total.calls += 1;
    total.seconds += call.end - call.begin;
    total.flop += flop;
    total.bytes += bytes;
    total.least += leastSeconds(peaks, adapter, flop, bytes);
    totals.set(kernel, total);
  }
  return [...totals.values()]
    .map(({ least, ...total }) => ({ ...total, ofBest: total.seconds > 0 && least > 0 ? least / total.seconds : undefined }))
    .sort((a, b) => b.seconds - a.seconds);
}

function leastSeconds(peaks: readonly Peak[], adapter: string, flop: number, bytes: number): number {
  const products = peaks.find((peak) => peak.peak === 'multiply-add');
  const bandwidth = bandwidthAt(peaks, adapter, bytes);
  return Math.max(products ? flop / products.gflops / 1e9 : 0, bandwidth ? bytes / bandwidth / 1e9 : 0);
}

export function deviceTable(times: readonly DeviceTime[], steps: number): string {
  const all = times.reduce((sum, { seconds }) => sum + seconds, 0);
  const rate = (amount: number, seconds: number) => (amount > 0 && seconds > 0 ? (amount / seconds / 1e9).toFixed(1) : '');
  const rows = times.map(({ kernel, calls, seconds, flop, bytes, ofBest }) => [
    kernel,
    (calls / steps).toFixed(calls % steps === 0 ? 0 : 1),
    ((1000 * seconds) / steps).toFixed(2),
    `${((100 * seconds) / all).toFixed(1)} %`,
    rate(flop, seconds),
    rate(bytes, seconds),
    ofBest === undefined ? '' : `${(100 * ofBest).toFixed(0)} %`,
  ]);
  return textTable([['kernel', 'calls', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of best'], ...rows]);
}

/** What the device can do, as lines of text. */
export function peakLines({ adapter, software, peaks }: DevicePeaks): string {
  const products = peaks.flatMap((peak) => (peak.peak === 'multiply-add' ? [`${peak.type} ${peak.gflops} GFLOP/s`] : []));
  const bandwidth = peaks.flatMap((peak) => (peak.peak === 'bandwidth' ? [`${peak.bytes >> 20} MiB ${peak.gb_per_s}`] : []));
  const what = software ? ', a software device: it computes on the CPU, and its figures say nothing about a GPU' : '';
  return `${adapter}${what}\n  multiply-adds ${products.join(', ')}\n  GB/s of copies of ${bandwidth.join(', ')}`;
}
