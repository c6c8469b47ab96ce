/** What the calls of a lowered program move, for profiles. */
import type { KernelCall } from '../executable.js';
import type { Instruction, Operand, ProgramSpec } from './program-spec.js';

type Description = Pick<KernelCall, 'kernel' | 'attributes' | 'bytes'>;

export class CallSizes {
  /** Bytes of all parameters. */
  readonly parameterBytes: number;

  constructor(private readonly spec: ProgramSpec) {
    this.parameterBytes = spec.parameters.reduce((sum, { size }) => sum + 4 * size, 0);
  }

  /** A call of the passes, for the samples of its domain. */
  describe(part: 'forward' | 'backward', index: number, samples: number): Description {
    const { kernel, attributes, inputs, outputs }: Instruction = this.spec[part][index]!;
    const bytes = [...inputs, ...outputs].reduce((sum, operand) => sum + this.#operandBytes(operand, samples), 0);
    return { kernel, attributes, bytes };
  }

  /** A call of an update. The bytes of zeroing and of the optimizer depend on the program and on the kind of optimizer. */
  describeUpdate(kernel: UpdateKernel): Description {
    const { parameterBytes } = this;
    const bytes = { zero_gradients: 0, gradient_norm: parameterBytes, optimizer: 0, add_leaves: 3 * parameterBytes };
    return { kernel, attributes: {}, bytes: bytes[kernel] };
  }

  #operandBytes(operand: Operand, samples: number): number {
    const { parameters, values, imageFloats, classes } = this.spec;
    if ('param' in operand) return 4 * parameters[operand.param]!.size;
    if ('grad' in operand) return 2 * 4 * parameters[operand.grad]!.size; // read and written
    if ('input' in operand) return 4 * samples * (operand.input === 'images' ? imageFloats : classes);
    const { elementsPerSample, type = 'fp32' } = values[operand.value]!;
    return (type === 'fp32' ? 4 : 2) * samples * elementsPerSample;
  }
}

export const updateKernels = ['zero_gradients', 'gradient_norm', 'optimizer', 'add_leaves'] as const;
export type UpdateKernel = (typeof updateKernels)[number];
