/** The executors that engine tests run on, and why one is left out. */
import { type ExecutorName, listExecutors } from '#engine/index.js';

const missing = new Map((await listExecutors()).map(({ name, missing }) => [name, missing]));

/** For node:test's `skip`: false where the executor can run here. */
export function withoutExecutor(name: ExecutorName): string | false {
  const reason = missing.get(name);
  return reason === undefined ? false : `executor ${name}: ${reason}`;
}

/** Every executor that the tests compare: TensorFlow's only where it is installed. */
export const testedExecutors: readonly ExecutorName[] = ['native', 'tfjs-cpu', 'tfjs-tensorflow'];
