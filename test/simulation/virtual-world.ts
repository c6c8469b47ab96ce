/**
 * What a program takes from its machine besides the store, made deterministic: time, timers and random numbers. While a world is installed, the
 * process's own clocks, timers and random numbers are those of the simulated process whose turn it is. Code under test therefore needs no switch, and
 * the same choices always give the same execution.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timersPromises from 'node:timers/promises';

export interface VirtualTimer {
  readonly owner: string;
  readonly dueMs: number;
  readonly fire: () => void;
}

/** Where virtual time starts: late enough that no code takes it for "never". */
const START_MS = 1_000_000;

export class VirtualWorld {
  nowMs = START_MS;
  /** Letter of the process whose code runs; it owns the timers and random numbers that are asked for. */
  turn = '';
  readonly timers = new Set<VirtualTimer>();
  readonly #drawn = new Map<string, number>();

  /** Puts the world in place of the machine. The caller must call what this returns. */
  static install(): { use(world: VirtualWorld): void; restore(): void } {
    let world = new VirtualWorld();
    const real = {
      setTimeout: globalThis.setTimeout,
      clearTimeout: globalThis.clearTimeout,
      now: Date.now,
      timeout: AbortSignal.timeout,
      delay: timersPromises.setTimeout,
      randomUUID: crypto.randomUUID,
      randomBytes: crypto.randomBytes,
      stackTraceLimit: Error.stackTraceLimit,
    };
    // Lost replies and lost races make millions of errors, and nobody reads where they were made.
    Error.stackTraceLimit = 0;
    // The replacements have the parts of the originals' types that the code under test uses.
    const replace = (target: object, name: string, value: unknown): void => {
      Object.defineProperty(target, name, { value, configurable: true, writable: true });
    };
    replace(
      globalThis,
      'setTimeout',
      (action: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
        new Handle(
          world,
          world.after(ms, () => action(...args)),
        ),
    );
    replace(globalThis, 'clearTimeout', (handle: unknown) => {
      if (handle instanceof Handle) handle.cancel();
      else real.clearTimeout(handle as NodeJS.Timeout);
    });
    replace(Date, 'now', () => world.nowMs);
    replace(performance, 'now', () => world.nowMs);
    replace(AbortSignal, 'timeout', (ms: number) => {
      const ending = new AbortController();
      world.after(ms, () => ending.abort(Object.assign(new Error('the time is over'), { name: 'TimeoutError' })));
      return ending.signal;
    });
    replace(timersPromises, 'setTimeout', (ms = 0, value?: unknown, { signal }: { signal?: AbortSignal } = {}) =>
      world.delay(ms, value, signal),
    );
    replace(crypto, 'randomBytes', (size: number) => world.random(size));
    replace(crypto, 'randomUUID', () => uuidOf(world.random(16)));
    syncBuiltinESMExports();
    return {
      use: (next) => {
        world = next;
      },
      restore: () => {
        replace(globalThis, 'setTimeout', real.setTimeout);
        replace(globalThis, 'clearTimeout', real.clearTimeout);
        replace(Date, 'now', real.now);
        Reflect.deleteProperty(performance, 'now');
        replace(AbortSignal, 'timeout', real.timeout);
        replace(timersPromises, 'setTimeout', real.delay);
        replace(crypto, 'randomBytes', real.randomBytes);
        replace(crypto, 'randomUUID', real.randomUUID);
        syncBuiltinESMExports();
        Error.stackTraceLimit = real.stackTraceLimit;
      },
    };
  }

  after(ms: number, fire: () => void): VirtualTimer {
    const timer = { owner: this.turn, dueMs: this.nowMs + Math.max(1, Math.ceil(ms)), fire };
    this.timers.add(timer);
    return timer;
  }

  delay<T>(ms: number, value: T, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted(signal));
        return;
      }
      const abort = (): void => {
        this.timers.delete(timer);
        reject(aborted(signal!));
      };
      const timer = this.after(ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve(value);
      });
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Bytes that differ from call to call and from process to process, and are the same in every execution. */
  random(size: number): Buffer {
    const count = this.#drawn.get(this.turn) ?? 0;
    this.#drawn.set(this.turn, count + 1);
    const hash = crypto.createHash('sha256').update(`${this.turn} ${count}`).digest();
    return Buffer.concat(Array.from({ length: Math.ceil(size / hash.length) }, () => hash)).subarray(0, size);
  }
}

const aborted = ({ reason }: AbortSignal): Error =>
  Object.assign(new Error('the wait was aborted', { cause: reason }), { name: 'AbortError' });

/** What setTimeout returns: the parts of Node's Timeout that programs use. */
class Handle {
  constructor(
    private readonly world: VirtualWorld,
    private readonly timer: VirtualTimer,
  ) {}
  cancel(): void {
    this.world.timers.delete(this.timer);
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
