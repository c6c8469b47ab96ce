/**
 * Calls of Dawn that are answered later. When the device's thread ends, Dawn cancels what is pending, and its bindings then abort the process, since
 * the promise of a cancelled call stays unsettled. So the thread ends only while nothing is pending.
 */
let pending = 0;
let ending = (): boolean => false;

/** `asked` says whether the thread has been asked to end. */
export function endsWhen(asked: () => boolean): void {
  ending = asked;
}

/** Makes a call of Dawn and waits for its answer. When the thread has been asked to end, no call is made, and the promise stays pending. */
export async function unbroken<T>(call: () => Promise<T>): Promise<T> {
  if (ending()) return new Promise(() => undefined);
  pending++;
  try {
    return await call();
  } finally {
    pending--;
  }
}

/** Whether the thread may be ended now. */
export const mayEnd = (): boolean => pending === 0;
