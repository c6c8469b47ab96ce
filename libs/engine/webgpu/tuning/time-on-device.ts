/** Has a thread of the device time products, and gives it up when it is silent or nobody waits any more. */

import type { TileName } from '../kernels/tile-shapes.js';
import { FLAG_DISPOSED, type FromDevice, newFlags } from '../messages.js';
import { settings } from '../settings.js';
import { DeviceFailed, errorOf, startDevice } from '../start-device.js';
import { hangs, working } from '../thread-endings.js';
import type { ProductsToTime, TileTime } from './product-times.js';

/** A piece of the work, such as compiling a tile, takes less; a driver that is silent for longer hangs. */
const SILENCE_MS = 60_000;

/** @throws DeviceFailed, ExecutorUnavailable, the signal's reason */
export async function timeOnDevice(
  products: readonly ProductsToTime[],
  signal: AbortSignal,
  heard: { timing: (product: number, tile: TileName) => void; timed: (product: number, times: readonly TileTime[]) => void },
): Promise<void> {
  signal.throwIfAborted();
  const start = { settings: settings(), products, flags: newFlags() };
  const silenceMs = Math.min(SILENCE_MS, start.settings.silenceMs ?? SILENCE_MS);
  const worker = startDevice(start);
  working.add(start.flags);
  let timer: NodeJS.Timeout | undefined;
  let onAbort = () => {};
  let over = false;
  try {
    await new Promise<void>((resolve, reject) => {
      const listen = () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          hangs(start.flags);
          reject(new DeviceFailed(`the GPU did not answer for ${silenceMs / 1000} s; its driver may hang`));
        }, silenceMs);
      };
      onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      listen();
      worker.on('message', (message: FromDevice) => {
        if (over) return;
        listen();
        try {
          if (message.kind === 'timing') heard.timing(message.product, message.tile);
          else if (message.kind === 'failed') throw errorOf(message);
          else if (message.kind === 'timed') {
            heard.timed(message.product, message.times);
            if (message.product === products.length - 1) resolve();
          }
        } catch (error) {
          reject(error as Error);
        }
      });
      worker.on('error', (error) => reject(new DeviceFailed(`the thread of the GPU failed: ${error.message}`, { cause: error })));
      worker.on('exit', () => reject(new DeviceFailed('the thread of the GPU has ended')));
    });
  } finally {
    over = true;
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    Atomics.store(start.flags, FLAG_DISPOSED, 1);
    worker.unref();
  }
}
