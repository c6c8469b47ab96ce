/** A program on the native addon. It has a thread of its own, so no call blocks the event loop. */
import { type Addon, loadAddon, type ProgramHandle } from '#native/addon.js';
import type { Initializer } from '#nn/tensor.js';
import { purposeKey } from '#random/philox.js';
import type {
  EvaluationOutput,
  Executable,
  Leaf,
  LeafOutput,
  MicroBatch,
  OptimizerScalars,
  ParameterValues,
  Profiler,
  StateName,
  UpdateOutput,
} from '../executable.js';
import { StepCancelled } from '../executable.js';
import type { Subtree } from '../gradient-tree.js';
import { createProfiler } from './profiler.js';
import type { ProgramSpec } from './program-spec.js';

/**
 * Checks `spec` and allocates all memory that the program will need, except for the gradients of a second leaf. Throws TypeError (a field of another
 * type) or RangeError (a bound, an unknown kernel, an overlap), naming the field. All parameters and states are zero at first; their memory is only
 * used once they are written.
 */
export function createProgram(spec: ProgramSpec): Executable {
  const addon = loadAddon();
  return new NativeProgram(addon, addon.createProgram(spec), spec);
}

// Methods are async, so that wrong arguments reject the promise like every other failure.
class NativeProgram implements Executable {
  readonly profiler: Profiler;

  constructor(
    private readonly addon: Addon,
    private readonly handle: ProgramHandle,
    spec: ProgramSpec,
  ) {
    this.profiler = createProfiler(
      spec,
      (calls) => addon.programProfile(handle, calls),
      () => addon.programTakeProfile(handle),
    );
  }

  async accumulate(leaf: Leaf): Promise<LeafOutput> {
    const { losses, logits, forwardSeconds, backwardSeconds } = await this.addon.programAccumulate(this.handle, leaf).catch(throwCancelled);
    return { losses, logits, seconds: { forward: forwardSeconds, backward: backwardSeconds } };
  }

  async update(optimizer?: OptimizerScalars): Promise<UpdateOutput> {
    const { gradNorm, seconds } = await this.addon.programUpdate(this.handle, optimizer).catch(throwCancelled);
    return { gradNorm, seconds: { optimizer: seconds } };
  }

  async evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<EvaluationOutput> {
    return this.addon.programEvaluate(this.handle, batch, state).catch(throwCancelled);
  }

  cancel(): void {
    this.addon.programCancel(this.handle);
  }

  async readSubtree(subtree: Subtree, into: Float32Array): Promise<void> {
    return this.addon.programReadSubtree(this.handle, subtree, into);
  }

  async writeSubtree(subtree: Subtree, leaves: number, from: Float32Array): Promise<void> {
    return this.addon.programWriteSubtree(this.handle, subtree, leaves, from).catch(throwCancelled);
  }

  async initialize(initializers: readonly Initializer[], seed: bigint): Promise<void> {
    const { k0, k1 } = purposeKey(seed, 'init');
    return this.addon.programInitialize(this.handle, initializers, k0, k1);
  }

  async read(state: StateName, into: readonly ParameterValues[]): Promise<void> {
    return this.addon.programRead(this.handle, state, into);
  }

  async write(state: StateName, from: readonly ParameterValues[]): Promise<void> {
    return this.addon.programWrite(this.handle, state, from);
  }

  dispose(): void {
    this.addon.programDispose(this.handle);
  }

  get memoryBytes(): number {
    return this.addon.programMemory(this.handle);
  }
}

function throwCancelled(error: unknown): never {
  if ((error as NodeJS.ErrnoException).code === 'ERR_CANCELLED') throw new StepCancelled({ cause: error });
  throw error;
}
