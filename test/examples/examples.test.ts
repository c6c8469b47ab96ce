import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nodeOptions } from '../../services/cli/service-entry.js';
import { startLocalServices } from '../support/local-services.js';
import { findTool } from '../support/tool.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const example = (name: string) => join(root, 'docs', 'examples', name);

const built = existsSync(join(root, 'dist', 'libs', 'rpc', 'client.js'));
const noPackage = built ? false : 'not built: `npm run build` makes the package that the example imports';
const python = process.env.DROPSTREAM_PYTHON ?? 'python3';
const noPython = await run(python, ['-c', 'import grpc_tools'], { timeout: 60_000 }).then(
  () => false as const,
  () => `${python} has no grpcio-tools (pip install grpcio-tools, or name another one with DROPSTREAM_PYTHON)`,
);
const grpcurl = await findTool('grpcurl');

test('the examples of the documents', async (t) => {
  const local = await startLocalServices();
  t.after(() => local.stop());
  const options = { env: { ...process.env, ...local.env }, cwd: root, timeout: 60_000 };
  const manifest = local.train.sha256;

  await t.test('TypeScript calls every service', { skip: noPackage }, async () => {
    // The condition `source` is left out: the example uses the package as its users do.
    const conditions = nodeOptions().filter((option) => !option.includes('conditions'));
    const { stdout } = await run(process.execPath, [...conditions, example('client.ts'), manifest], options);
    assert.match(stdout, /step 0: drop rate 0\.1000\nstep 7800: drop rate 0\.0500\nstep 15600: drop rate 0\.0000\n/);
    assert.match(stdout, /0 runs\n0 evaluations\nidx: 600 images of upright, 3\.5 px, upright, 5 px/);
    const rates = await run(process.execPath, [...conditions, example('drop-rates.ts')], options);
    assert.equal(rates.stdout, 'step 0: drop rate 0.1000\nstep 7800: drop rate 0.0500\nstep 15600: drop rate 0.0000\n');
  });

  await t.test('Python calls every service with stubs of grpcio-tools', { skip: noPython }, async () => {
    const out = join(local.folder, 'stubs');
    await mkdir(out);
    const protos = (await readdir(join(root, 'proto'), { recursive: true })).filter((file) => file.endsWith('.proto'));
    const folders = ['-I', 'proto', `--python_out=${out}`, `--grpc_python_out=${out}`];
    await run(python, ['-m', 'grpc_tools.protoc', ...folders, ...protos.map((file) => join('proto', file))], options);
    const { stdout } = await run(python, [example('client.py'), manifest], { ...options, env: { ...options.env, PYTHONPATH: out } });
    assert.match(
      stdout,
      /step 7800: drop rate 0\.0500\n[\s\S]*0 runs\n0 evaluations\nbatch of 32 images \[3, 28, 28\], 320 soft targets follow them\n/,
    );
  });

  await t.test('grpcurl calls every service and lists them by reflection', { skip: 'skip' in grpcurl ? grpcurl.skip : false }, async () => {
    const { path } = grpcurl as { path: string };
    const { stdout } = await run(example('grpcurl.sh'), [manifest], { ...options, env: { ...options.env, GRPCURL: path } });
    assert.match(stdout, /"rate": 0\.1\b/);
    assert.match(stdout, /"samples": "600"/);
    for (const { service, address } of local.services.state.services) {
      const listed = (await run(path, ['-plaintext', address, 'list'], options)).stdout;
      assert.match(listed, new RegExp(`dropstream\\.v1\\.${service[0]!.toUpperCase()}${service.slice(1)}Service`));
      assert.match(listed, /grpc\.health\.v1\.Health/);
    }
  });
});
