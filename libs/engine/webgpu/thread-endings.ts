/** How a process ends while threads of devices work. Dawn aborts the process if its thread is ended inside one of its calls, or before it has answered one. */
import { FLAG_PARK, FLAG_RESTS, PARK_AT_ONCE, PARK_AT_REST } from './messages.js';

/** How long a process that exits waits until the device has finished what it was given and its thread can be ended. */
const PARK_MS = 10_000;

/** Threads whose device is working. */
export const working = new Set<Int32Array>();
/** Threads whose driver hangs. */
const hanging = new Set<Int32Array>();

/** The thread's driver does not answer. Between two calls of Dawn, the thread stops and takes no time any more; it cannot be ended. */
export function hangs(flags: Int32Array): void {
  working.delete(flags);
  hanging.add(flags);
  Atomics.store(flags, FLAG_PARK, PARK_AT_ONCE);
}

/** The thread has ended. */
export function ended(flags: Int32Array): void {
  working.delete(flags);
  hanging.delete(flags);
}

process.on('exit', () => {
  for (const flags of working) {
    Atomics.store(flags, FLAG_PARK, PARK_AT_REST);
    if (Atomics.wait(flags, FLAG_RESTS, 0, PARK_MS) === 'timed-out') hanging.add(flags);
  }
  if (hanging.size === 0) return;
  // Node would wait for the thread, and the thread for the driver.
  process.stderr.write('the GPU does not finish its work, so the process ends itself with SIGKILL\n');
  process.kill(process.pid, 'SIGKILL');
});
