/** Many steps need no more memory than a few. DROPSTREAM_WEBGPU_STEPS sets how many; 1,000 take minutes on a software device. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutExecutor } from '../../../test/support/executors.js';
import { smallProgram, smallStep } from '../../../test/support/small-training.js';

const steps = Number(process.env.DROPSTREAM_WEBGPU_STEPS ?? 120);
const warmUp = 60;
/** What garbage that is not collected yet may take. A leaked copy of the images of every step would be 9 MB in 120 steps, and 74 MB in 1,000. */
const slackBytes = 24 << 20;

const skip = withoutExecutor('webgpu');

test(`the memory of the process and of the device is flat over ${steps} steps`, { skip }, async (t) => {
  const program = await smallProgram('webgpu');
  t.after(() => program.dispose());
  const run = async (from: number, to: number) => {
    for (let step = from; step < to; step++) await program.step(smallStep(step, warmUp + steps));
  };
  await run(0, warmUp);
  const [resident, device] = [process.memoryUsage().rss, program.peakBytes];
  await run(warmUp, warmUp + steps);
  const grown = process.memoryUsage().rss - resident;
  t.diagnostic(`resident memory: ${resident} bytes after ${warmUp} steps, ${grown} more after ${steps} others; device: ${device} bytes`);
  assert.equal(program.peakBytes, device);
  assert.ok(grown < slackBytes, `${grown} bytes more after ${steps} steps`);
});
