import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nodeOptions } from '../../services/cli/service-entry.js';
import { startLocalServices } from '../support/local-services.js';
import { buildPythonClient, noPythonClient, python, pythonClientFolder } from '../support/python-client.js';
import { findTool } from '../support/tool.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const example = (name: string) => join(root, 'docs', 'examples', name);

const built = existsSync(join(root, 'dist', 'libs', 'rpc', 'client.js'));
const noPackage = built ? false : 'not built: `npm run build` makes the package that the example imports';
const grpcurl = await findTool('grpcurl');

test('the examples of the documents', async (t) => {
  const local = await startLocalServices({ gateway: true });
  t.after(() => local.stop());
  const { url } = local.services.state.gateway!;
  const options = { env: { ...process.env, ...local.env, DROPSTREAM_GATEWAY: url }, cwd: root, timeout: 60_000 };
  const manifest = local.train.sha256;

  await t.test('TypeScript calls every service', { skip: noPackage }, async () => {
    // The condition `source` is left out: the example uses the package as its users do.
    const conditions = nodeOptions().filter((option) => !option.includes('conditions'));
    const { stdout } = await run(process.execPath, [...conditions, example('client.ts'), manifest], options);
    assert.match(stdout, /step 0: drop rate 0\.1000\nstep 7800: drop rate 0\.0500\nstep 15600: drop rate 0\.0000\n/);
    assert.match(stdout, /0 runs\n0 evaluations\nidx: 600 images of upright, 3\.5 px, upright, 5 px/);
    assert.match(
      stdout,
      /batch of images \[32, 3, 28, 28\]: 75264 values, 320 soft targets\nthe stream goes on with batch 1\nplan\.batch_size is "0"/,
    );
    const rates = await run(process.execPath, [...conditions, example('drop-rates.ts')], options);
    assert.equal(rates.stdout, 'step 0: drop rate 0.1000\nstep 7800: drop rate 0.0500\nstep 15600: drop rate 0.0000\n');
  });

  await t.test('Python calls every service', { skip: noPythonClient }, async (inner) => {
    const client = await buildPythonClient();
    inner.after(() => client.remove());
    const withClient = { ...options, env: { ...options.env, ...client.env } };
    const { stdout } = await run(python, [example('client.py'), manifest], withClient);
    assert.match(stdout, /step 7800: drop rate 0\.0500\n[\s\S]*0 runs\n0 evaluations\n/);
    assert.match(
      stdout,
      /batch of images \[32, 3, 28, 28\] with soft targets \[32, 10\]\nthe stream goes on with batch 1\nplan\.batch_size is "0"/,
    );

    const noTorch = await run(python, ['-c', 'import torch'], { timeout: 60_000 }).then(
      () => false as const,
      () => `DROPSTREAM_PEERS_VENV names no environment that DROPSTREAM_PYTHON is of: ${python} has no PyTorch`,
    );
    await inner.test('a PyTorch loop that stopped goes on with the losses of one that did not', { skip: noTorch }, async () => {
      const loop = async (checkpoint: string, ...more: string[]) => {
        const argv = [join(pythonClientFolder, 'examples', 'pytorch_loop.py'), manifest, '--checkpoint', join(local.folder, checkpoint)];
        return (await run(python, [...argv, ...more], withClient)).stdout;
      };
      const whole = await loop('whole.pt');
      assert.equal(whole.trim().split('\n').length, 2 * 18);
      assert.equal((await loop('parts.pt', '--stop-after', '25')) + (await loop('parts.pt')), whole);
    });
  });

  await t.test('curl calls through the gateway', async () => {
    const { stdout } = await run(example('http.sh'), [], options);
    const [rates, runs, evaluations, missing, stream] = stdout.trim().split('\n');
    assert.deepEqual(
      (JSON.parse(rates!) as { rates: { rate?: number }[] }).rates.map(({ rate = 0 }) => rate.toFixed(4)),
      ['0.1000', '0.0500', '0.0000'],
    );
    assert.deepEqual([runs, evaluations], ['{}', '{}']);
    assert.match(missing!, /"code":"not_found".*google\.rpc\.ErrorInfo/);
    assert.match(stream!, /"code":"not_found"/);
  });

  await t.test('connect-web watches through the gateway', async () => {
    const { stdout } = await run(process.execPath, [...nodeOptions(), example('connect-web.ts')], options);
    assert.match(
      stdout,
      /^revision 1: drop rate 0\.1\nrevision 2: drop rate 0\.2\nschedule .* does not exist.* google\.rpc\.ResourceInfo\n$/,
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
