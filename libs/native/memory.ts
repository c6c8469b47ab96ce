/** Large memory outside of the JavaScript heap. */
import { AddonUnavailable, loadAddon } from './addon.js';

/**
 * An ArrayBuffer of zeros, in huge pages if the system provides them: filling a buffer of gigabytes page by page holds up every other thread of the
 * process, and with it the event loop, for tens of milliseconds at a time. Without the addon, an ordinary ArrayBuffer.
 * @throws TypeError for a wrong size; Error or RangeError if there is not enough memory
 */
export function allocateMemory(bytes: number): ArrayBuffer {
  if (bytes === 0) return new ArrayBuffer(0); // an external one without memory counts as detached
  try {
    return loadAddon().allocateMemory(bytes);
  } catch (error) {
    if (error instanceof AddonUnavailable) return new ArrayBuffer(bytes);
    throw error;
  }
}
