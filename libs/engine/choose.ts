/** Loads the code of an executor by its name. */
import { type ExecutorName, executorNames, UnknownExecutor } from './engines.js';
import type { Executor } from './executor.js';

// Executors are imported when they are used, so that a process that trains natively never loads TensorFlow.js, and vice versa.
const executors: Readonly<Record<ExecutorName, () => Promise<Executor>>> = {
  native: async () => (await import('./native/executor.js')).nativeExecutor,
  webgpu: async () => (await import('./webgpu/executor.js')).webgpuExecutor,
  tfjs: async () => (await import('./tfjs/executor.js')).tfjsExecutor('best'),
  'tfjs-cpu': async () => (await import('./tfjs/executor.js')).tfjsExecutor('cpu'),
  'tfjs-tensorflow': async () => (await import('./tfjs/executor.js')).tfjsExecutor('tensorflow'),
};

/** Throws UnknownExecutor at once, so that a wrong name is rejected before any work. */
export function executorNamed(name: string): Executor {
  if (!Object.hasOwn(executors, name)) throw new UnknownExecutor('executor', name, executorNames);
  const load = executors[name as ExecutorName];
  return {
    prepare: async (graph, samples, options) => (await load()).prepare(graph, samples, options),
    missing: async () => (await load()).missing(),
  };
}

/** Every executor, with what is missing for it on this machine. */
export async function listExecutors(): Promise<{ name: ExecutorName; available: boolean; missing?: string }[]> {
  return Promise.all(
    executorNames.map(async (name) => {
      const missing = await executorNamed(name).missing();
      return missing === undefined ? { name, available: true } : { name, available: false, missing };
    }),
  );
}
