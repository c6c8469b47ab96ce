/** The executors that engine tests run on, and why one is left out. */
import { type CompileShapes, compile, type ExecutorName, listExecutors } from '#engine/index.js';
import type { Model } from '#nn/model.js';

const missing = new Map((await listExecutors()).map(({ name, missing }) => [name, missing]));

/** For node:test's `skip`: false where the executor can run here. */
export function withoutExecutor(name: ExecutorName): string | false {
  const reason = missing.get(name);
  return reason === undefined ? false : `executor ${name}: ${reason}`;
}

/** Every executor that the tests compare: TensorFlow's only where it is installed. */
export const testedExecutors: readonly ExecutorName[] = ['native', 'tfjs-cpu', 'tfjs-tensorflow'];

/** For node:test's `skip`: the kernel that the addon built here lacks for a model; false where it lacks none. */
export async function withoutKernels(name: ExecutorName, model: Model, shapes: CompileShapes): Promise<string | false> {
  if (missing.get(name) !== undefined) return withoutExecutor(name);
  try {
    (await compile(model, shapes, { executor: name })).dispose();
    return false;
  } catch (error) {
    const [, kernel] = /kernel is "(\w+)", must be one of the names/.exec((error as Error).message) ?? [];
    if (kernel === undefined) throw error;
    return `executor ${name} has no kernel ${kernel} yet`;
  }
}
