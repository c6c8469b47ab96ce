/** The quick demo on the GPU learns what it learns on the native engine. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { demoResult, startDemo } from '../../../test/support/demo-process.js';
import { withoutExecutor } from '../../../test/support/executors.js';

/** Points of top-1 between the engines: they round differently, so they end with different weights. */
const POINTS = 2;

test(`the quick demo with --engine webgpu ends, with a top-1 within ${POINTS} points of the native engine's`, {
  skip: withoutExecutor('webgpu'),
  timeout: 540_000,
}, async (t) => {
  const top1 = async (engine: string): Promise<number> => {
    const home = await mkdtemp(join(tmpdir(), 'dropstream-demo-'));
    try {
      const demo = startDemo(home, '--quick', '--engine', engine, '--json');
      t.after(() => demo.child.kill('SIGKILL'));
      const [code] = await demo.exit;
      assert.equal(code, 0, demo.lines.join('\n'));
      return demoResult(demo.lines).top1;
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  };
  const native = await top1('native');
  const webgpu = await top1('webgpu');
  t.diagnostic(`top-1: ${webgpu} % on webgpu, ${native} % on native`);
  assert.ok(native > 60, `${native}: the demo learns`);
  assert.ok(Math.abs(webgpu - native) <= POINTS, `${webgpu} on webgpu, ${native} on native`);
});
