/** Loads the code of an executor by its name. */
import { type EngineName, type ExecutorName, executorNames, executorOf, UnknownExecutor } from './engines.js';
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
export function executorNamed(name: string): Required<Executor> {
  if (!Object.hasOwn(executors, name)) throw new UnknownExecutor('executor', name, executorNames);
  const load = executors[name as ExecutorName];
  return {
    prepare: async (graph, samples, options) => (await load()).prepare(graph, samples, options),
    missing: async () => (await load()).missing(),
    describe: async () => (await (await load()).describe?.()) ?? 'available',
  };
}

/** What is missing here for an engine; undefined if it can run. @throws UnknownExecutor */
export async function missingFor(engine: EngineName): Promise<string | undefined> {
  return executorNamed(executorOf(engine)).missing();
}

/** Every executor, with what it runs on, or what is missing for it on this machine. */
export async function listExecutors(): Promise<{ name: ExecutorName; available: boolean; detail: string; missing?: string }[]> {
  return Promise.all(
    executorNames.map(async (name) => {
      const executor = executorNamed(name);
      const missing = await executor.missing();
      if (missing !== undefined) return { name, available: false, detail: missing, missing };
      return { name, available: true, detail: await executor.describe() };
    }),
  );
}
