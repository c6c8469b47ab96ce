/** For a promise that is begun ahead and may never be awaited: a rejection is thrown where it is awaited, and not reported as unhandled. */
export function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
