/** Adds operands, attributes and sizes to the kernel calls that the addon recorded. */
import type { RecordedSlices } from '#native/addon.js';
import type { KernelCall, Profiler, ThreadJob } from '../executable.js';
import type { Instruction, Operand, ProgramSpec } from './program-spec.js';

const SLICE_NUMBERS = 5;
const JOB_NUMBERS = 3;
const PARTS = ['forward', 'backward', 'update', 'pack'] as const;
const UPDATES = ['zero_gradients', 'gradient_norm', 'optimizer', 'add_leaves'] as const;

export function createProfiler(
  { forward, backward, values, parameters, imageFloats, classes }: ProgramSpec,
  record: (slices: number) => void,
  take: () => RecordedSlices,
): Profiler {
  const parameterBytes = parameters.reduce((sum, { size }) => sum + 4 * size, 0);

  const operandBytes = (operand: Operand, samples: number): number => {
    if ('param' in operand) return 4 * parameters[operand.param]!.size;
    if ('grad' in operand) return 2 * 4 * parameters[operand.grad]!.size; // read and written
    if ('input' in operand) return 4 * samples * (operand.input === 'images' ? imageFloats : classes);
    const { elementsPerSample, type = 'fp32' } = values[operand.value]!;
    return (type === 'fp32' ? 4 : 2) * samples * elementsPerSample;
  };

  const ofInstruction = ({ kernel, attributes, inputs, outputs }: Instruction, samples: number) => ({
    kernel,
    attributes,
    bytes: [...inputs, ...outputs].reduce((sum, operand) => sum + operandBytes(operand, samples), 0),
  });

  const describe = (part: KernelCall['part'], index: number, samples: number) => {
    if (part === 'forward') return ofInstruction(forward[index]!, samples);
    if (part === 'backward') return ofInstruction(backward[index]!, samples);
    if (part === 'pack') return { kernel: 'pack_weight' as const, attributes: {}, bytes: 2 * 4 * parameters[index]!.size };
    const kernel = UPDATES[index]!;
    // The bytes of zeroing and of the optimizer depend on the program and on the kind of optimizer.
    const bytes = { zero_gradients: 0, gradient_norm: parameterBytes, optimizer: 0, add_leaves: 3 * parameterBytes };
    return { kernel, attributes: {}, bytes: bytes[kernel] };
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
