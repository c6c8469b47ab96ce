/** The Python client's own tests (unittest), against the package as pip builds it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildPythonClient, noPythonClient, python, pythonClientFolder } from '../support/python-client.js';

test('the tests of libs/python-client', { skip: noPythonClient, timeout: 300_000 }, async (t) => {
  const client = await buildPythonClient();
  t.after(() => client.remove());
  const env = { ...process.env, ...client.env, PYTHONDONTWRITEBYTECODE: '1' };
  await promisify(execFile)(python, ['-m', 'unittest', 'discover', '-s', join(pythonClientFolder, 'tests')], { env, timeout: 240_000 });
});
