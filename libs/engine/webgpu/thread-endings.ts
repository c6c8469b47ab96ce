/** How a process ends while threads of devices work. Dawn aborts the process if its thread is ended inside one of its calls. */
import { FLAG_PARK, FLAG_PARKED } from './messages.js';

/** How long a process that exits waits until the device's thread is between two calls of Dawn. */
const PARK_MS = 5000;

/** Threads whose device is working. */
export const working = new Set<Int32Array>();
/** Threads whose driver hangs. */
const hanging = new Set<Int32Array>();

/** The thread's driver does not answer. Between two calls of Dawn, the thread stops and takes no time any more; it cannot be ended. */
export function hangs(flags: Int32Array): void {
  hanging.add(flags);
  Atomics.store(flags, FLAG_PARK, 1);
}

/** The thread has ended. */
export function ended(flags: Int32Array): void {
  working.delete(flags);
  hanging.delete(flags);
}

process.on('exit', () => {
  for (const flags of working) {
    Atomics.store(flags, FLAG_PARK, 1);
    if (Atomics.wait(flags, FLAG_PARKED, 0, PARK_MS) === 'timed-out') hanging.add(flags);
  }
  if (hanging.size === 0) return;
  // Node would wait for the thread, and the thread for the driver.
  process.stderr.write('the driver of the GPU hangs, so the process ends itself with SIGKILL\n');
  process.kill(process.pid, 'SIGKILL');
});
