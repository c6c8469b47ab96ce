/** A process with a program on WebGPU that ends in the way that its argument names (libs/engine/webgpu/endings.test.ts). */
import { existsSync } from 'node:fs';
import { compile } from '#engine/compile.js';
import { deviceCode } from '#engine/webgpu/start-device.js';

if (process.env.WEBGPU_FAULT) deviceCode.url = new URL('./webgpu-faulty-worker.js', import.meta.url);

const shapes = { imageSize: 14, classes: 5, batch: 2 };
/** Compiles again if the device fails. */
const compiled = () => compile('mixer_nano_p7', shapes, { executor: 'webgpu' });
if (process.argv[2] === 'exit while it is created') {
  // Long enough for the adapter to be described; wherever the thread is by then, it must not matter.
  setTimeout(() => {
    console.log('ending');
    process.exit(0);
  }, 500);
}
if (process.argv[2] === 'exit at the fault') {
  const file = process.env.WEBGPU_FAULT?.split(' ').at(-1) ?? '';
  setInterval(() => {
    if (existsSync(file)) return;
    console.log('ending');
    process.exit(0);
  }, 5);
}
const program = await compiled().catch((error: Error) => {
  console.log(`failed: ${error.name}: ${error.message}`);
  return compiled();
});
await program.initialize(1n);
const batch = { images: new Float32Array(2 * 3 * 14 * 14).fill(0.5), targets: new Float32Array(10).fill(0.2), samples: 2, firstSample: 0 };
const step = () => program.step({ microBatches: [batch, batch, batch], random: { seed: 1n, step: 0 }, lossScale: 1 / 6 });
await step();

const endings: Record<string, () => unknown> = {
  'exit while it is created': () => undefined,
  'exit at the fault': () => undefined,
  idle: () => undefined,
  disposed: () => program.dispose(),
  'disposed in a step': () => {
    step().catch(() => undefined);
    program.dispose();
  },
  'exit in a step': () => {
    step().catch(() => undefined);
    process.exit(0);
  },
  'thrown in a step': () => {
    step().catch(() => undefined);
    throw new Error('thrown on purpose');
  },
  'terminated in a step': () => {
    step().catch(() => undefined);
    process.kill(process.pid, 'SIGTERM');
  },
  collected: async () => {
    step().catch(() => undefined);
  },
  // The process goes on and has a program again.
  'the device fails in a step': async () => {
    for (;;) {
      const failure = await step().then(
        () => undefined,
        (error: Error) => error,
      );
      if (failure === undefined) continue;
      console.log(`failed: ${failure.name}: ${failure.message}`);
      break;
    }
    await step().catch((error: Error) => console.log(`again: ${error.message}`));
    program.dispose();
    const other = await compiled();
    await other.initialize(1n);
    await other.evaluate(batch);
    console.log('another program works');
    other.dispose();
  },
};
const ending = endings[process.argv[2] ?? ''];
if (ending === undefined) throw new Error(`no such ending: ${process.argv[2]}`);
console.log('ending');
await ending();
