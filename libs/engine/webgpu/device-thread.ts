/** The event loop's side of the device's thread: starts it, makes calls, hands it the arrays that it asks for, and notices when it is gone. */
import type { Worker } from 'node:worker_threads';
import { startWorker } from '#native/start-worker.js';
import { StepCancelled } from '../executable.js';
import { ExecutorUnavailable } from '../executor.js';
import type { ProgramSpec } from '../native/program-spec.js';
import type { CallTimes } from './call-times.js';
import type { AdapterDescription } from './device.js';
import {
  type Call,
  type Copy,
  FLAG_DISPOSED,
  FLAG_PARK,
  FLAG_PARKED,
  FLAG_TICKET,
  type FromDevice,
  newFlags,
  type Piece,
  type Result,
  type Start,
  type ToDevice,
} from './messages.js';

/** As the native engine: calls that run or wait. */
const MOST_CALLS = 64;

/** A driver that says nothing for so long hangs. Creating a program, and a chunk of the largest model on a software device, take less. */
const SILENCE_MS = 300_000;

/** The device failed, and every call with it. Another program may work. */
class DeviceFailed extends Error {
  override readonly name = 'DeviceFailed';
}

/** Threads whose device is working; when the process exits, they must stop outside of Dawn first (device-worker.ts). */
const working = new Set<Int32Array>();
const PARK_MS = 2000;

process.on('exit', () => {
  for (const flags of working) {
    Atomics.store(flags, FLAG_PARK, 1);
    Atomics.wait(flags, FLAG_PARKED, 0, PARK_MS);
  }
});

/** The arrays of a call. */
export interface CallArrays {
  /** Images and targets of some samples of a micro-batch. */
  batch?: (batch: number, first: number, samples: number) => [Float32Array, Float32Array];
  /** Arrays that are read into or written from. */
  floats?: (array: number) => Float32Array;
}

/** Bytes of images that are copied before other work of the event loop gets a turn: a few milliseconds. */
const STAGED_AT_ONCE = 8 << 20;

interface Pending {
  resolve: (result: Result) => void;
  reject: (error: Error) => void;
  arrays: CallArrays;
}

/** Describes the adapter that a program would run on. @throws ExecutorUnavailable */
export async function describeAdapter(wanted = process.env.DROPSTREAM_GPU): Promise<AdapterDescription> {
  const worker = start({ wanted, flags: newFlags() });
  const adapter = await new Promise<AdapterDescription>((resolve, reject) => {
    worker.on('message', (message: FromDevice) => {
      if (message.kind === 'described') resolve(message.adapter);
      else if (message.kind === 'failed') reject(errorOf(message));
    });
    worker.on('error', reject);
    worker.on('exit', () => reject(new DeviceFailed('the thread of the GPU ended before it described the adapter')));
  });
  return adapter;
}

export class DeviceThread {
  readonly #pending = new Map<number, Pending>();
  /** Images that are being sent, by their number. */
  readonly #staging = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  readonly #flags = newFlags();
  readonly #worker: Worker;
  #ids = 0;
  #silence: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #memoryBytes = 0;
  #tellsTime = false;
  /** Called with the times of every call that was recorded, before its promise settles. */
  onTimes: ((times: CallTimes) => void) | undefined;
  #ready: { resolve: () => void; reject: (error: Error) => void } | undefined;

  /** Creates a program on the device. @throws ExecutorUnavailable, DeviceFailed, or OutOfDeviceMemory by its name */
  static async create(spec: ProgramSpec, wanted = process.env.DROPSTREAM_GPU): Promise<DeviceThread> {
    const thread = new DeviceThread(spec, wanted);
    await new Promise<void>((resolve, reject) => {
      thread.#ready = { resolve, reject };
    });
    thread.#worker.unref();
    return thread;
  }

  private constructor(spec: ProgramSpec, wanted: string | undefined) {
    this.#worker = start({ wanted, spec, flags: this.#flags });
    this.#worker.on('message', (message: FromDevice) => this.#receive(message));
    this.#worker.on('error', (error) => this.#fail(new DeviceFailed(`the thread of the GPU failed: ${error.message}`, { cause: error })));
    this.#worker.on('exit', () => this.#fail(new DeviceFailed('the thread of the GPU has ended')));
    this.#heard(true);
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Whether the device can time calls. */
  get tellsTime(): boolean {
    return this.#tellsTime;
  }

  /** Whether a call runs or waits. */
  get busy(): boolean {
    return this.#pending.size > 0;
  }

  /** Times the calls that are made from now on, or no longer. */
  record(on: boolean): void {
    this.#send({ kind: 'record', on });
  }

  /** Runs a call after those before it. */
  call(call: Call, arrays: CallArrays = {}): Promise<Result> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (Atomics.load(this.#flags, FLAG_DISPOSED) === 1 && call.kind !== 'dispose')
      return Promise.reject(new Error('The program is disposed'));
    if (this.#pending.size >= MOST_CALLS && call.kind !== 'dispose')
      return Promise.reject(new RangeError(`more than ${MOST_CALLS} calls wait for the program`));
    const id = this.#ids++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, arrays });
      this.#begins();
      this.#send({ kind: 'call', id, ticket: Atomics.load(this.#flags, FLAG_TICKET), call });
    });
  }

  /** Copies images and the words of their plan to the device, beside the running call. @returns their number, for `release` */
  async stage(pixels: Uint8Array, words: Uint32Array, samples: number): Promise<number> {
    const batch = this.#ids++;
    try {
      for (let at = 0; at === 0 || at < pixels.length; at += STAGED_AT_ONCE) {
        if (this.#failure !== undefined) throw this.#failure;
        if (Atomics.load(this.#flags, FLAG_DISPOSED) === 1) throw new Error('The program is disposed');
        const part = pixels.subarray(at, at + STAGED_AT_ONCE);
        const data = new Uint8Array(4 * Math.ceil(part.length / 4));
        data.set(part);
        await new Promise<void>((resolve, reject) => {
          this.#staging.set(batch, { resolve, reject });
          this.#begins();
          this.#send({ kind: 'stage', batch, samples, at, data: data.buffer, ...(at === 0 && { words }) }, [data.buffer]);
        });
      }
      return batch;
    } catch (error) {
      this.release(batch);
      throw error;
    }
  }

  release(batch: number): void {
    this.#send({ kind: 'release', batch });
  }

  cancel(): void {
    Atomics.add(this.#flags, FLAG_TICKET, 1);
  }

  /** Ends the thread after the running call; the calls behind it are rejected. */
  dispose(): void {
    if (Atomics.exchange(this.#flags, FLAG_DISPOSED, 1) === 1) return;
    this.call({ kind: 'dispose' }).then(
      () => this.#worker.terminate(),
      () => this.#worker.terminate(),
    );
  }

  #send(message: ToDevice, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #receive(message: FromDevice): void {
    if (message.kind === 'ready') {
      this.#memoryBytes = message.memoryBytes;
      this.#tellsTime = message.times;
      this.#ready?.resolve();
    } else if (message.kind === 'ask') {
      const data = this.#gather(message.id, message.piece);
      this.#send({ kind: 'answer', data }, data);
    } else if (message.kind === 'give') {
      const from = new Float32Array(message.data);
      for (const { array, begin, at, length } of message.copies) {
        this.#floats(message.id, array).set(from.subarray(at, at + length), begin);
      }
      this.#send({ kind: 'answer', data: [] });
    } else if (message.kind === 'staged') {
      this.#memoryBytes = message.memoryBytes;
      const staging = this.#staging.get(message.batch);
      this.#staging.delete(message.batch);
      this.#ends();
      if (message.failure === undefined) staging?.resolve();
      else staging?.reject(errorOf(message.failure));
    } else if (message.kind === 'done') {
      this.#memoryBytes = message.memoryBytes;
      if (message.times !== undefined) this.onTimes?.(message.times);
      this.#settle(message.id)?.resolve(message.result);
    } else if (message.kind === 'failed') {
      if (message.id === undefined) this.#fail(errorOf(message));
      else this.#settle(message.id)?.reject(errorOf(message));
    }
    this.#heard(this.#works);
  }

  get #works(): boolean {
    return this.#pending.size + this.#staging.size > 0;
  }

  #begins(): void {
    this.#worker.ref();
    working.add(this.#flags);
    this.#heard(true);
  }

  #ends(): void {
    if (this.#works) return;
    this.#worker.unref();
    working.delete(this.#flags);
  }

  /** Copies what the device asked for into memory that can be given away. */
  #gather(id: number, piece: Piece): ArrayBuffer[] {
    if ('batch' in piece) {
      const parts = this.#pending.get(id)?.arrays.batch?.(piece.batch, piece.first, piece.samples) ?? [];
      return parts.map((part) => new Float32Array(part).buffer);
    }
    const values = new Float32Array(piece.floats);
    for (const copy of piece.copies) values.set(this.#part(id, copy), copy.at);
    return [values.buffer];
  }

  #part(id: number, { array, begin, length }: Copy): Float32Array {
    return this.#floats(id, array).subarray(begin, begin + length);
  }

  #floats(id: number, array: number): Float32Array {
    const floats = this.#pending.get(id)?.arrays.floats?.(array);
    if (floats === undefined) throw new Error(`call ${id} has no array ${array}`);
    return floats;
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#ends();
    return pending;
  }

  /** The thread may be silent only while nothing runs. */
  #heard(busy: boolean): void {
    clearTimeout(this.#silence);
    this.#silence = undefined;
    if (!busy || this.#failure !== undefined) return;
    this.#silence = setTimeout(() => {
      this.#fail(new DeviceFailed(`the GPU did not answer for ${SILENCE_MS / 1000} s; its driver may hang`));
      void this.#worker.terminate();
    }, SILENCE_MS).unref();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#heard(false);
    this.#ready?.reject(this.#failure);
    for (const { reject } of [...this.#pending.values(), ...this.#staging.values()]) reject(this.#failure);
    this.#pending.clear();
    this.#staging.clear();
    working.delete(this.#flags);
  }
}

function start(data: Start): Worker {
  return startWorker(new URL('./device-worker.js', import.meta.url), { workerData: data });
}

function errorOf({ name, message }: { name: string; message: string }): Error {
  if (name === 'StepCancelled') return new StepCancelled();
  if (name === 'RangeError') return new RangeError(message);
  if (name === 'TypeError') return new TypeError(message);
  const prefix = 'executor webgpu is not available: ';
  if (name === 'ExecutorUnavailable')
    return new ExecutorUnavailable('webgpu', message.startsWith(prefix) ? message.slice(prefix.length) : message);
  if (name === 'DeviceLost' || name === 'OutOfDeviceMemory') return new DeviceFailed(message);
  return Object.assign(new Error(message), name !== 'Error' && { name });
}
