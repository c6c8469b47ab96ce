// npm run test:webgpu: the tests of the executor `webgpu`, and the golden values of ../shared/fixtures on it where they are.
//
// They run on lavapipe unless DROPSTREAM_GPU names another adapter. Without the package or an adapter, they skip and say why; with
// DROPSTREAM_WEBGPU_TESTS=required and CI=true, that is a failure (scripts/expected-skips.mjs).
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './test-suites.mjs';

const env = { DROPSTREAM_GPU: 'llvmpipe', DROPSTREAM_GPU_TUNING: 'none', ...process.env, DROPSTREAM_TESTED_EXECUTORS: 'webgpu' };
const fixtures = join(process.env.DROPSTREAM_SHARED ?? join(root, '..', 'shared'), 'fixtures');

/** Tests of all executors, which other suites run on the others. */
const shared = ['leaves', 'loss', 'optimizer', 'program'].map((name) => `libs/engine/${name}.test`);

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

run('scripts/run-tests.mjs', 'libs/engine/webgpu/', 'services/trainer/gpu-', 'services/cli/gpu-', ...shared);
// The full models take lavapipe four minutes more in each precision: `npm run parity -- --engine webgpu` has them.
const groups = 'optimizer,loss,models,trajectories';
if (existsSync(fixtures))
  for (const precision of ['fp32', 'bf16'])
    run(
      '--conditions=source',
      '--import=tsx',
      'test/parity/main.ts',
      '--engine',
      'webgpu',
      '--precision',
      precision,
      '--only',
      groups,
      '--fixtures',
      fixtures,
    );
else console.log('no golden values: there is no folder ../shared/fixtures');
