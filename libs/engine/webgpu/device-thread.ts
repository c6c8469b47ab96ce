/** The event loop's side of the device's thread: starts it, makes calls, hands it the arrays that it asks for, and notices when it is gone. */
import type { Worker } from 'node:worker_threads';
import type { ProgramSpec } from '../native/program-spec.js';
import { forgetAdapters } from './adapters.js';
import type { CallTimes } from './call-times.js';
import type { Tiles } from './kernels/tile-shapes.js';
import {
  type Call,
  type Copy,
  FLAG_DISPOSED,
  FLAG_TICKET,
  type FromDevice,
  newFlags,
  type Piece,
  type Result,
  type ToDevice,
} from './messages.js';
import { settings, silenceMs } from './settings.js';
import { DeviceFailed, errorOf, startDevice } from './start-device.js';
import { hangs, working } from './thread-endings.js';

/** As the native engine: calls that run or wait. */
const MOST_CALLS = 64;

const DISPOSED = 'The program is disposed';

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

export class DeviceThread {
  readonly #pending = new Map<number, Pending>();
  /** Images that are being sent, by their number. */
  readonly #staging = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  readonly #flags = newFlags();
  readonly #worker: Worker;
  readonly #silenceMs: number;
  #ids = 0;
  #silence: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #memoryBytes = 0;
  #tellsTime = false;
  /** Called with the times of every call that was recorded, before its promise settles. */
  onTimes: ((times: CallTimes) => void) | undefined;
  #ready: { resolve: () => void; reject: (error: Error) => void } | undefined;

  /** Creates a program on the device. @throws ExecutorUnavailable, DeviceFailed */
  static async create(spec: ProgramSpec, adapter: { software: boolean }, tiles: Tiles = {}): Promise<DeviceThread> {
    const thread = new DeviceThread(spec, adapter, tiles);
    await new Promise<void>((resolve, reject) => {
      thread.#ready = { resolve, reject };
    });
    thread.#worker.unref();
    return thread;
  }

  private constructor(spec: ProgramSpec, adapter: { software: boolean }, tiles: Tiles) {
    const given = settings();
    this.#silenceMs = silenceMs(given, adapter);
    this.#worker = startDevice({ settings: given, spec, tiles, flags: this.#flags });
    this.#worker.on('message', (message: FromDevice) => this.#receive(message));
    this.#worker.on('error', (error) => this.#fail(new DeviceFailed(`the thread of the GPU failed: ${error.message}`, { cause: error })));
    this.#worker.on('exit', () => this.#fail(this.#disposed ? new Error(DISPOSED) : new DeviceFailed('the thread of the GPU has ended')));
    working.add(this.#flags);
    this.#heard(true);
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get #disposed(): boolean {
    return Atomics.load(this.#flags, FLAG_DISPOSED) === 1;
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
    if (this.#disposed && call.kind !== 'dispose') return Promise.reject(new Error(DISPOSED));
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
        if (this.#disposed) throw new Error(DISPOSED);
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
    // A thread whose device has failed ends by itself, or hangs.
    this.call({ kind: 'dispose' }).then(
      () => this.#worker.terminate(),
      () => undefined,
    );
  }

  #send(message: ToDevice, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #receive(message: FromDevice): void {
    // The callers of a failed thread have their arrays back.
    if (this.#failure !== undefined) return;
    if (message.kind === 'ready') {
      this.#memoryBytes = message.memoryBytes;
      working.delete(this.#flags);
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
      hangs(this.#flags);
      this.#fail(new DeviceFailed(`the GPU did not answer for ${this.#silenceMs / 1000} s (DROPSTREAM_GPU_TIMEOUT); its driver may hang`));
    }, this.#silenceMs);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#heard(false);
    this.#worker.unref();
    working.delete(this.#flags);
    if (error instanceof DeviceFailed) forgetAdapters();
    this.#ready?.reject(this.#failure);
    for (const { reject } of [...this.#pending.values(), ...this.#staging.values()]) reject(this.#failure);
    this.#pending.clear();
    this.#staging.clear();
  }
}
