/** The adapter that programs run on, as this process knows it. */
import type { AdapterDescription } from './device.js';
import { settings } from './settings.js';
import { describeAdapter } from './start-device.js';

/** By the name wanted. */
const adapters = new Map<string | undefined, Promise<AdapterDescription>>();

/** @throws ExecutorUnavailable */
export async function adapterHere(): Promise<AdapterDescription> {
  const { wanted } = settings();
  let found = adapters.get(wanted);
  if (found === undefined) {
    found = describeAdapter().then(({ adapter }) => adapter);
    adapters.set(wanted, found);
    // A driver may be installed while the process runs.
    found.catch(() => adapters.delete(wanted));
  }
  return found;
}

/** After a failure, the device may be gone. */
export function forgetAdapters(): void {
  adapters.clear();
}
