/** How long the calls of a program take on the device: timestamps before and after each, while a profile is recorded. */
import { quietly } from '#bounds/quietly.js';
import type { UpdateKernel } from '../native/call-sizes.js';
import { MAP_MODE_READ, USAGE } from './arena.js';
import { unbroken } from './unbroken.js';

/** A call of the passes by its place in them, or one that is in no list. */
type TimedCall =
  | { part: 'forward' | 'backward'; index: number; samples: number }
  | { part: 'update'; kernel: UpdateKernel }
  | { part: 'finish'; samples: number };

/** Seconds of the device's own clock. */
export type CallTime = TimedCall & { begin: number; end: number };

export interface CallTimes {
  times: CallTime[];
  /** Added to a time of the device, gives one of the monotonic clock that is at most so much too late as the host noticed an end late. */
  offset: number;
}

/** WebGPU's limit for the queries of one set; two for each call. */
const MOST_QUERIES = 4096;

export class CallClock {
  readonly #sets: GPUQuerySet[] = [];
  #recording = false;
  #offset = Number.POSITIVE_INFINITY;
  #reads: Promise<CallTime[]>[] = [];

  constructor(private readonly device: GPUDevice) {}

  /** Whether the device can tell the time. */
  static works(device: GPUDevice): boolean {
    return device.features.has('timestamp-query');
  }

  record(on: boolean): void {
    this.#recording = on;
  }

  /** Takes the times of the calls of one submission; undefined while nothing is recorded. */
  submission(): TimedSubmission | undefined {
    if (!this.#recording) return undefined;
    return new TimedSubmission(
      this.device,
      (index) => this.#set(index),
      (read) => {
        // It is awaited when the call ends. A device that is lost before says so elsewhere.
        this.#reads.push(quietly(read.then(({ times, noticed }) => this.#aligned(times, noticed))));
      },
    );
  }

  /** The times of all submissions since the last collection; waits for them. */
  async collect(): Promise<CallTimes | undefined> {
    const reads = this.#reads;
    this.#reads = [];
    if (reads.length === 0) return undefined;
    const times = (await Promise.all(reads)).flat();
    return { times, offset: this.#offset };
  }

  #set(index: number): GPUQuerySet {
    this.#sets[index] ??= this.device.createQuerySet({ type: 'timestamp', count: MOST_QUERIES });
    return this.#sets[index];
  }

  /** The host notices the end of a submission a little late; the least delay of all tells best how the clocks differ. */
  #aligned(times: CallTime[], noticed: number): CallTime[] {
    const last = times.at(-1);
    if (last !== undefined) this.#offset = Math.min(this.#offset, noticed - last.end);
    return times;
  }
}

export class TimedSubmission {
  readonly #calls: TimedCall[] = [];
  #staging: GPUBuffer | undefined;

  constructor(
    private readonly device: GPUDevice,
    private readonly setOf: (index: number) => GPUQuerySet,
    private readonly keep: (read: Promise<{ times: CallTime[]; noticed: number }>) => void,
  ) {}

  /** Describes a pass that consists of one call. */
  pass(call: TimedCall): GPUComputePassDescriptor {
    const query = 2 * this.#calls.length;
    this.#calls.push(call);
    return {
      timestampWrites: {
        querySet: this.setOf(Math.floor(query / MOST_QUERIES)),
        beginningOfPassWriteIndex: query % MOST_QUERIES,
        endOfPassWriteIndex: (query % MOST_QUERIES) + 1,
      },
    };
  }

  /** After the last pass: lets the encoder copy the times. */
  resolve(encoder: GPUCommandEncoder): void {
    const queries = 2 * this.#calls.length;
    if (queries === 0) return;
    const bytes = 8 * queries;
    const resolved = this.device.createBuffer({ size: 256 * Math.ceil(bytes / 256), usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC });
    this.#staging = this.device.createBuffer({ size: bytes, usage: USAGE.MAP_READ | USAGE.COPY_DST });
    for (let first = 0; first < queries; first += MOST_QUERIES) {
      const count = Math.min(MOST_QUERIES, queries - first);
      encoder.resolveQuerySet(this.setOf(first / MOST_QUERIES), 0, count, resolved, 8 * first);
    }
    encoder.copyBufferToBuffer(resolved, 0, this.#staging, 0, bytes);
  }

  /** After the submission. */
  submitted(): void {
    const staging = this.#staging;
    if (staging === undefined) return;
    this.keep(
      unbroken(() => staging.mapAsync(MAP_MODE_READ)).then(() => {
        const noticed = Number(process.hrtime.bigint()) / 1e9;
        const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
        staging.destroy();
        const seconds = (query: number) => Number(stamps[query]!) / 1e9;
        // A device may write the two times of a pass that does nothing in any order.
        const times = this.#calls.map((call, i) => ({ ...call, begin: seconds(2 * i), end: Math.max(seconds(2 * i), seconds(2 * i + 1)) }));
        return { times, noticed };
      }),
    );
  }
}
