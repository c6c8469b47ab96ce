import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

/** Node finds no package of TensorFlow, as in an image that was built without it. */
const hooks = `export function resolve(name, context, next) {
  if (!name.startsWith('@tensorflow/')) return next(name, context);
  throw Object.assign(new Error('Cannot find package ' + name), { code: 'ERR_MODULE_NOT_FOUND' });
}`;
const withoutTensorFlow = `import { register } from 'node:module'; register('data:text/javascript,' + ${JSON.stringify(encodeURIComponent(hooks))});`;

test('where TensorFlow.js is not installed, its engines say how to get it, and native is there', async () => {
  const script = `
    import { missingFor } from '#engine/index.js';
    console.log(JSON.stringify(Object.fromEntries(await Promise.all(['native', 'tfjs', 'tensorflow'].map(async (e) => [e, (await missingFor(e)) ?? ''])))));
  `;
  const argv = ['--conditions=source', '--import', 'tsx', '--import', `data:text/javascript,${encodeURIComponent(withoutTensorFlow)}`];
  const { stdout } = await promisify(execFile)(process.execPath, [...argv, '--input-type=module', '--eval', script], { timeout: 60_000 });
  const missing = JSON.parse(stdout) as Record<string, string>;
  assert.equal(missing.native, '');
  for (const engine of ['tfjs', 'tensorflow']) assert.match(missing[engine]!, /TensorFlow\.js is not installed: .*TFJS=true.*npm install/);
});
