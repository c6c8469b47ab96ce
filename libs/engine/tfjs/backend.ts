/** TensorFlow.js, which the image may lack, and its backends: `cpu` always, and `tensorflow` if @tensorflow/tfjs-node-gpu or tfjs-node is installed. */
import { createRequire } from 'node:module';
import type { TensorFlow } from '#nn/operation.js';
import { ExecutorUnavailable } from '../executor.js';

export type BackendName = 'cpu' | 'tensorflow';

const TENSORFLOW_PACKAGES = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];

/**
 * Loads the library and registers the backend. There is one engine per process, so `useBackend` selects the backend before each synchronous piece of
 * work.
 * @throws ExecutorUnavailable
 */
export async function loadTensorFlow(wanted: BackendName | 'best'): Promise<{ tf: TensorFlow; backend: BackendName }> {
  const executor = wanted === 'best' ? 'tfjs' : `tfjs-${wanted}`;
  const tf = await import('@tensorflow/tfjs-core').catch((error: unknown) => absent(executor, error));
  tf.env().set('PROD', true); // no advertisement on the console and no NaN checks
  const failure = wanted === 'cpu' ? undefined : await registerTensorFlow(tf);
  if (wanted !== 'cpu' && failure === undefined) return { tf, backend: 'tensorflow' };
  if (wanted === 'tensorflow') throw new ExecutorUnavailable('tfjs-tensorflow', failure ?? 'unknown');
  await import('@tensorflow/tfjs-backend-cpu').catch((error: unknown) => absent(executor, error));
  return { tf, backend: 'cpu' };
}

/** @throws ExecutorUnavailable if the package is not there, otherwise what it threw while it was loaded */
function absent(executor: string, error: unknown): never {
  if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
  const reason =
    'TensorFlow.js is not installed: build the image with --build-arg TFJS=true, or run npm install @tensorflow/tfjs-core @tensorflow/tfjs-backend-cpu';
  throw new ExecutorUnavailable(executor, reason, { cause: error });
}

/** Makes `backend` the one that operations run on, until another call selects another. */
export async function useBackend(tf: TensorFlow, backend: BackendName): Promise<void> {
  if (tf.getBackend() !== backend) await tf.setBackend(backend);
}

/** Undefined on success; otherwise the reason for the failure. */
async function registerTensorFlow(tf: TensorFlow): Promise<string | undefined> {
  const reasons: string[] = [];
  restoreUtil();
  for (const name of TENSORFLOW_PACKAGES) {
    try {
      await import(name);
      if (tf.findBackend('tensorflow') !== null) return undefined;
      reasons.push(`${name} loads a second copy of the TensorFlow.js core`);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      reasons.push(code === 'ERR_MODULE_NOT_FOUND' ? `${name} is not installed` : `${name} does not load (${(error as Error).message})`);
    }
  }
  return reasons.join('; ');
}

/** tfjs-node 4.22 calls two functions of node:util that Node 23 has removed. */
function restoreUtil(): void {
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}
