/** Starts a thread, in the package as well as in a checkout that runs from its sources. */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** @param file e.g. `new URL('./encode-worker.js', import.meta.url)` */
export function startWorker(file: URL, options: WorkerOptions = {}): Worker {
  if (!import.meta.url.endsWith('.ts')) return new Worker(file, options);
  // Node 20 does not give a loader for TypeScript on to its workers.
  const source = file.href.replace(/\.js$/, '.ts');
  const code = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(source)})))`;
  return new Worker(code, { ...options, eval: true });
}
