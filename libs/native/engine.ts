/**
 * The native engine: compiled programs over the addon. Each program has a thread of its own, so calls never block the event loop.
 * Arrays given to step and evaluate are read while the call runs: do not change or transfer them before its promise settles.
 */
import { loadAddon } from './load.js';
import { createProfiler, type RecordedSlices } from './profiler.js';
import type {
  MicroBatch,
  NativeEngineInfo,
  NativeProgram,
  OptimizerScalars,
  Profiler,
  ProgramSpec,
  StateName,
  StepOutput,
  StepRandomness,
} from './program.js';

type Handle = object;

interface EngineAddon {
  engineInfo(): NativeEngineInfo;
  createProgram(spec: ProgramSpec): Handle;
  programStep(
    handle: Handle,
    micro: MicroBatch[],
    random: StepRandomness,
    lossScale: number,
    optimizer?: OptimizerScalars,
  ): Promise<StepOutput>;
  programEvaluate(handle: Handle, batch: MicroBatch, state: 'weights' | 'ema'): Promise<{ logits: Float32Array; losses: Float32Array }>;
  programRead(handle: Handle, state: StateName, parameter: number): Float32Array;
  programWrite(handle: Handle, state: StateName, parameter: number, data: Float32Array): void;
  programDispose(handle: Handle): void;
  programMemory(handle: Handle): number;
  programProfile(handle: Handle, calls: number): void;
  programTakeProfile(handle: Handle): RecordedSlices;
}

const addon = (): EngineAddon => loadAddon() as unknown as EngineAddon;

/** Kernel path, threads and build of this process. Throws AddonUnavailable, or Error for a wrong DROPSTREAM_ISA or DROPSTREAM_THREADS. */
export function engineInfo(): NativeEngineInfo {
  return addon().engineInfo();
}

/**
 * Checks `spec` and takes all memory it will need. Throws TypeError (a field of another type) or RangeError (a bound, an unknown kernel, an
 * overlap), naming the field. All parameters and states start as zeros. Optimizer state and EMA take memory when first used.
 */
export function createProgram(spec: ProgramSpec): NativeProgram {
  return new AddonProgram(addon(), addon().createProgram(spec), spec);
}

class AddonProgram implements NativeProgram {
  readonly profiler: Profiler;

  constructor(
    private readonly native: EngineAddon,
    private readonly handle: Handle,
    spec: ProgramSpec,
  ) {
    this.profiler = createProfiler(
      spec,
      (calls) => native.programProfile(handle, calls),
      () => native.programTakeProfile(handle),
    );
  }

  // async, so that refused arguments reject the promise like every other failure.
  async step(micro: MicroBatch[], random: StepRandomness, lossScale: number, optimizer?: OptimizerScalars): Promise<StepOutput> {
    return this.native.programStep(this.handle, micro, random, lossScale, optimizer);
  }

  async evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<{ logits: Float32Array; losses: Float32Array }> {
    return this.native.programEvaluate(this.handle, batch, state);
  }

  read(state: StateName, parameter: number): Float32Array {
    return this.native.programRead(this.handle, state, parameter);
  }

  write(state: StateName, parameter: number, data: Float32Array): void {
    this.native.programWrite(this.handle, state, parameter, data);
  }

  dispose(): void {
    this.native.programDispose(this.handle);
  }

  get memoryBytes(): number {
    return this.native.programMemory(this.handle);
  }
}
