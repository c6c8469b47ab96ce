/** Values from files that are replaced while a process runs, such as tokens and keys. */

const LOOK_MS = 1000;

/**
 * A function to be asked often, which reads again at most once a second. When `read` fails later, the last value stays in use: whoever gets it says if it
 * does not count any more.
 * @throws what the first `read` throws
 */
export function reread<T>(read: () => T): () => T {
  let value = read();
  let readAt = performance.now();
  return () => {
    const now = performance.now();
    if (now - readAt < LOOK_MS) return value;
    readAt = now;
    try {
      value = read();
    } catch {
      // The last one stays.
    }
    return value;
  };
}
