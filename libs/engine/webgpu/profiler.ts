/** The kernel calls that the device has timed, with their operands and sizes. */
import type { KernelCall, Profiler } from '../executable.js';
import { CallSizes } from '../native/call-sizes.js';
import type { ProgramSpec } from '../native/program-spec.js';
import type { CallTime, CallTimes } from './call-times.js';

const MOST_CALLS = 2 ** 24;

/** The thread of the device, as far as profiles need it. */
interface Recorder {
  /** Whether a call runs or waits. */
  readonly busy: boolean;
  record(on: boolean): void;
}

export class WebgpuProfiler implements Profiler {
  readonly #sizes: CallSizes;
  #times: CallTime[] = [];
  #offset = 0;
  #room = 0;
  #lost = 0;

  constructor(
    private readonly recorder: Recorder,
    private readonly spec: ProgramSpec,
  ) {
    this.#sizes = new CallSizes(spec);
  }

  start(calls: number): void {
    this.#throwIfBusy();
    if (!Number.isInteger(calls) || calls < 1 || calls > MOST_CALLS)
      throw new RangeError(`calls: ${calls} is not a whole number from 1 to ${MOST_CALLS}`);
    this.#room = calls;
    this.recorder.record(true);
  }

  stop(): void {
    this.#throwIfBusy();
    this.#room = 0;
    this.recorder.record(false);
  }

  take(): ReturnType<Profiler['take']> {
    this.#throwIfBusy();
    const calls = this.#times.map((time) => this.#callOf(time));
    const lost = this.#lost;
    this.#times = [];
    this.#lost = 0;
    // The device's own threads of execution are not visible.
    return { calls, jobs: [], lost };
  }

  /** What a call of the program has recorded. */
  add({ times, offset }: CallTimes): void {
    const room = Math.max(0, this.#room - this.#times.length);
    this.#times.push(...times.slice(0, room));
    this.#lost += Math.max(0, times.length - room);
    this.#offset = offset;
  }

  #callOf(time: CallTime): KernelCall {
    const [begin, end] = [time.begin + this.#offset, time.end + this.#offset];
    if (time.part === 'update') return { part: 'update', ...this.#sizes.describeUpdate(time.kernel), samples: 0, begin, end };
    const { samples } = time;
    if (time.part !== 'finish') return { part: time.part, ...this.#sizes.describe(time.part, time.index, samples), samples, begin, end };
    // Own and partner's bytes are read, and floats written.
    return { part: 'forward', kernel: 'finish', attributes: {}, samples, bytes: 6 * samples * this.spec.imageFloats, begin, end };
  }

  #throwIfBusy(): void {
    if (this.recorder.busy) throw new Error('a profile cannot be used while a call runs');
  }
}
