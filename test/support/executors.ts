/** The executors that engine tests run on, and why one is left out. */
import { abilitiesOf } from '#engine/engines.js';
import { type ExecutorName, listExecutors } from '#engine/index.js';

// Tests of WebGPU may run on a GPU in software, which is only used by name.
process.env.DROPSTREAM_GPU ??= 'llvmpipe';

const missing = new Map((await listExecutors()).map(({ name, missing }) => [name, missing]));

/** For node:test's `skip`: false where the executor can run here, and has models of these families. */
export function withoutExecutor(name: ExecutorName, families: readonly string[] = []): string | false {
  const reason = missing.get(name);
  if (reason !== undefined) return `executor ${name}: ${reason}`;
  const lacking = families.filter((family) => !abilitiesOf(name).families.some((one) => one === family));
  return lacking.length === 0 ? false : `executor ${name} has no kernels for ${lacking.join(' and ')} yet`;
}

/** Every family, for tests that use models of all of them. */
export const everyFamily = ['vit', 'mixer', 'swin', 'convnext'];

/** Every executor that the tests compare: TensorFlow's and WebGPU's only where they are installed. */
export const testedExecutors: readonly ExecutorName[] = ['native', 'webgpu', 'tfjs-cpu', 'tfjs-tensorflow'];
