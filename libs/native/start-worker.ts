/** Starts a thread from a file next to the caller's, in the package as well as in a checkout that runs from its sources. */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** @param file e.g. `./encode-worker.js`, relative to `caller`, which is the caller's import.meta.url */
export function startWorker(file: string, caller: string, options: WorkerOptions = {}): Worker {
  if (!caller.endsWith('.ts')) return new Worker(new URL(file, caller), options);
  // Node 20 does not give a loader for TypeScript on to its workers.
  const url = new URL(file.replace(/\.js$/, '.ts'), caller).href;
  const code = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(url)})))`;
  return new Worker(code, { ...options, eval: true });
}
