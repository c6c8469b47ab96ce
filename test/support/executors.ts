/** The executors that engine tests run on, and why one is left out. */
import { abilitiesOf } from '#engine/engines.js';
import { type ExecutorName, listExecutors } from '#engine/index.js';

// Tests of WebGPU may run on a GPU in software, which is only used by name.
process.env.DROPSTREAM_GPU ??= 'llvmpipe';
// What a developer has tuned is no concern of tests.
process.env.DROPSTREAM_GPU_TUNING ??= 'none';

const missing = new Map((await listExecutors()).map(({ name, missing }) => [name, missing]));

/** For node:test's `skip`: false where the executor can run here. */
export function withoutExecutor(name: ExecutorName): string | false {
  const reason = missing.get(name);
  return reason === undefined ? false : `executor ${name}: ${reason}`;
}

const all: readonly ExecutorName[] = ['native', 'webgpu', 'tfjs-cpu', 'tfjs-tensorflow'];
const wanted = process.env.DROPSTREAM_TESTED_EXECUTORS?.split(',');

/** Every executor that the tests compare: TensorFlow's and WebGPU's only where they are installed. `npm run test:webgpu` has its own only. */
export const testedExecutors = all.filter((name) => wanted === undefined || wanted.includes(name));

/** Those of them that have mixed precision. */
export const mixedExecutors = testedExecutors.filter((name) => abilitiesOf(name).precisions.includes('bf16'));
/** Runs with this value of DROPSTREAM_GPU. */
export async function withGpu<T>(wanted: string | undefined, run: () => Promise<T>): Promise<T> {
  const before = process.env.DROPSTREAM_GPU;
  if (wanted === undefined) delete process.env.DROPSTREAM_GPU;
  else process.env.DROPSTREAM_GPU = wanted;
  try {
    return await run();
  } finally {
    if (before === undefined) delete process.env.DROPSTREAM_GPU;
    else process.env.DROPSTREAM_GPU = before;
  }
}
