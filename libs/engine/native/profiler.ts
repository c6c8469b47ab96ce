/** Adds operands, attributes and sizes to the kernel calls that the addon recorded. */
import type { RecordedSlices } from '#native/addon.js';
import type { KernelCall, Profiler, ThreadJob } from '../executable.js';
import { CallSizes, updateKernels } from './call-sizes.js';
import type { ProgramSpec } from './program-spec.js';

const SLICE_NUMBERS = 5;
const JOB_NUMBERS = 3;
const PARTS = ['forward', 'backward', 'update', 'pack'] as const;

export function createProfiler(spec: ProgramSpec, record: (slices: number) => void, take: () => RecordedSlices): Profiler {
  const sizes = new CallSizes(spec);
  const describe = (part: KernelCall['part'], index: number, samples: number) => {
    if (part === 'pack') return { kernel: 'pack_weight' as const, attributes: {}, bytes: 2 * 4 * spec.parameters[index]!.size };
    return part === 'update' ? sizes.describeUpdate(updateKernels[index]!) : sizes.describe(part, index, samples);
  };

  return {
    start: record,
    stop: () => record(0),
    take() {
      const { slices, jobs, lost } = take();
      const calls = Array.from({ length: slices.length / SLICE_NUMBERS }, (_, i): KernelCall => {
        const [part, index, samples, begin, end] = slices.subarray(i * SLICE_NUMBERS) as unknown as [
          number,
          number,
          number,
          number,
          number,
        ];
        const name = PARTS[part]!;
        return { part: name, ...describe(name, index, samples), samples, begin, end };
      });
      const shared = Array.from({ length: jobs.length / JOB_NUMBERS }, (_, i): ThreadJob => {
        const [thread, begin, end] = jobs.subarray(i * JOB_NUMBERS) as unknown as [number, number, number];
        return { thread, begin, end };
      });
      return { calls, jobs: shared, lost };
    },
  };
}
