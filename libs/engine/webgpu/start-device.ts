/** Starts threads of devices, and asks one to describe the adapter. */
import type { Worker } from 'node:worker_threads';
import { startWorker } from '#native/start-worker.js';
import { StepCancelled } from '../executable.js';
import { ExecutorUnavailable } from '../executor.js';
import type { AdapterDescription } from './device.js';
import { type FromDevice, newFlags, type Start } from './messages.js';
import { settings } from './settings.js';
import { ended, hangs, working } from './thread-endings.js';

/** The code of the thread. Tests replace it by one whose device fails. */
export const deviceCode = { url: new URL('./device-entry.js', import.meta.url) };

export function startDevice(data: Start): Worker {
  const worker = startWorker(deviceCode.url, { workerData: data });
  worker.on('exit', () => ended(data.flags));
  return worker;
}

/** The device failed, and every call with it. Another program may work. */
export class DeviceFailed extends Error {
  override readonly name = 'DeviceFailed';
}

/** Opening a device takes less, even for the first time after a start of the machine. */
const DESCRIBE_MS = 60_000;

/**
 * Describes the adapter that a program would run on, and says whether it has memory for buffers of these sizes in bytes. @throws ExecutorUnavailable
 */
export async function describeAdapter(buffers: readonly number[] = []): Promise<{ adapter: AdapterDescription; granted: boolean }> {
  const start = { settings: settings(), buffers, flags: newFlags() };
  const worker = startDevice(start);
  working.add(start.flags);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve, reject) => {
      const unavailable = (reason: string) => reject(new ExecutorUnavailable('webgpu', reason));
      const ms = Math.min(DESCRIBE_MS, start.settings.silenceMs ?? DESCRIBE_MS);
      timer = setTimeout(() => {
        hangs(start.flags);
        unavailable(`the driver of the GPU did not answer for ${ms / 1000} s; restart the machine, or see docs/gpu.md`);
      }, ms);
      worker.on('message', (message: FromDevice) => {
        if (message.kind === 'described') resolve(message);
        else if (message.kind === 'failed') reject(errorOf(message));
      });
      worker.on('error', (error) => unavailable(`the thread of the GPU failed: ${error.message}`));
      worker.on('exit', () => unavailable('the thread of the GPU ended before it described the adapter'));
    });
  } finally {
    clearTimeout(timer);
    worker.unref();
  }
}

/** The error that a thread has sent. */
export function errorOf({ name, message }: { name: string; message: string }): Error {
  if (name === 'StepCancelled') return new StepCancelled();
  if (name === 'RangeError') return new RangeError(message);
  if (name === 'TypeError') return new TypeError(message);
  const prefix = 'executor webgpu is not available: ';
  if (name === 'ExecutorUnavailable')
    return new ExecutorUnavailable('webgpu', message.startsWith(prefix) ? message.slice(prefix.length) : message);
  if (name === 'DeviceLost' || name === 'OutOfDeviceMemory') return new DeviceFailed(message);
  return Object.assign(new Error(message), name !== 'Error' && { name });
}
