/** The bytes do not depend on the instruction set: a process for each path that this machine runs renders and finishes the same batches. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { engineInfo } from '#native/addon.js';
import {
  type FinishSample,
  finishBatch,
  type Geometry,
  type PixelOp,
  type PixelOpName,
  pixelInfo,
  type RenderPlan,
  type RenderSource,
  renderBatch,
} from '#native/pixels.js';
import { randomJpeg } from '../../../test/support/random-jpeg.js';

const OPS: [PixelOpName, number[]][] = [
  ['AutoContrast', [0]],
  ['Equalize', [0]],
  ['Invert', [0]],
  ['Rotate', [-27.3, 4, 90, 180]],
  ['Posterize', [0, 3, 8]],
  ['Solarize', [0, 100, 256]],
  ['SolarizeAdd', [0, 77, 255]],
  ['Color', [0, 0.3, 1, 1.9]],
  ['Contrast', [0.1, 1.7]],
  ['Brightness', [0.2, 1.9]],
  ['Sharpness', [0, 0.1, 1.9]],
  ['ShearX', [0.29, -0.1]],
  ['ShearY', [0.3, -0.2]],
  ['TranslateX', [31.5, -7, 300]],
  ['TranslateY', [12.25, -50]],
];

const drawer = (seed: number) => {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

/** SHA-256 of pixels and finished values of everything that plans can ask for. */
async function hashes(): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  const hash = (bytes: ArrayBufferView) =>
    createHash('sha256')
      .update(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      .digest('hex');
  const draw = drawer(3);
  const sources: RenderSource[] = Array.from({ length: 24 }, (_, i): RenderSource => {
    const [width, height] = [20 + draw(i % 4 === 0 ? 1500 : 300), 20 + draw(250)];
    if (i % 3 === 2) return { format: 'rgb', bytes: Uint8Array.from({ length: 3 * width * height }, () => draw(256)), width, height };
    const sampling = (
      [
        [1, 1],
        [2, 2],
        [2, 1],
        [1, 2],
      ] as const
    )[i % 4] as [number, number];
    return {
      format: 'jpeg',
      bytes: randomJpeg({ width, height, components: 3, sampling, restart: 0, bits: 4, quant: 3 }, draw),
      width,
      height,
    };
  });
  const geometries = ({ width, height }: RenderSource, size: number): Geometry[] => {
    const [h, w] = [1 + draw(height), 1 + draw(width)];
    const crop = { kind: 'resized_crop', height: h, width: w, top: draw(height - h + 1), left: draw(width - w + 1) } as const;
    const [resizeWidth, resizeHeight] = [size + draw(60), size + draw(60)];
    const center = {
      kind: 'resize_center_crop',
      resizeWidth,
      resizeHeight,
      left: draw(resizeWidth - size + 1),
      top: draw(resizeHeight - size + 1),
    } as const;
    return (['bilinear', 'bicubic'] as const).flatMap((interpolation) => [
      { ...crop, interpolation },
      { ...center, interpolation },
      { kind: 'warp', interpolation },
    ]);
  };
  for (const size of [33, 64, 97]) {
    const jobs = sources.flatMap((source) =>
      geometries(source, size).map((geometry, i) => ({
        source,
        plan: { geometry, flip: i % 2 === 0, ops: [], fill: [9, 8, 7] } satisfies RenderPlan,
      })),
    );
    const out = new Uint8Array(jobs.length * 3 * size * size);
    assert.ok((await renderBatch(jobs, size, out)).every(({ ok }) => ok));
    result[`resize ${size}`] = hash(out);
    const samples = jobs.map((_, i): FinishSample => {
      const box = { top: draw(size), left: draw(size) };
      const erase = {
        ...box,
        height: 1 + draw(size - box.top),
        width: 1 + draw(size - box.left),
        mode: (['const', 'rand', 'pixel'] as const)[i % 3]!,
      };
      const mixBox = i % 4 === 1 ? { top: 3, left: 5, height: 20, width: 17 } : null;
      return {
        erase: [{ ...erase, key: [i, 7], box: 1 }],
        mix: { lambda: i % 4 === 3 ? 1 : draw(1000) / 1000, partner: draw(jobs.length), box: mixBox },
      };
    });
    const norm = {
      mean: [0.485, 0.456, 0.406] as [number, number, number],
      std: [0.229, 0.224, 0.225] as [number, number, number],
      samples,
    };
    const [floats, halves] = [new Float32Array(out.length), new Uint16Array(out.length)];
    await finishBatch(out, jobs.length, size, norm, floats);
    await finishBatch(out, jobs.length, size, norm, halves);
    result[`float32 ${size}`] = hash(floats);
    result[`bfloat16 ${size}`] = hash(halves);
  }
  for (const [op, args] of OPS) {
    const jobs = args.flatMap((argument) =>
      (['bilinear', 'bicubic'] as const).flatMap((interpolation) =>
        sources.slice(0, 6).map((source) => {
          const ops: PixelOp[] = [{ op, argument, interpolation }];
          return {
            source,
            plan: {
              geometry: { kind: 'warp', interpolation: 'bilinear' } as const,
              flip: false,
              ops,
              fill: [124, 116, 104],
            } satisfies RenderPlan,
          };
        }),
      ),
    );
    const out = new Uint8Array(jobs.length * 3 * 75 * 75);
    assert.ok((await renderBatch(jobs, 75, out)).every(({ ok }) => ok));
    result[op] = hash(out);
  }
  return result;
}

const self = fileURLToPath(import.meta.url);

if (process.env.DROPSTREAM_PATH_HASHES) {
  console.log(JSON.stringify({ path: pixelInfo().path, hashes: await hashes() }));
} else {
  test('every path gives the same bytes', async (t) => {
    const expected = await hashes();
    const run = promisify(execFile);
    const ran: string[] = [];
    for (const isa of engineInfo().available) {
      const env = { ...process.env, DROPSTREAM_ISA: isa, DROPSTREAM_PATH_HASHES: '1' };
      const { stdout } = await run(process.execPath, [...process.execArgv.filter((flag) => flag !== '--test'), self], {
        env,
        timeout: 120_000,
      });
      const { path, hashes: actual } = JSON.parse(stdout) as { path: string; hashes: Record<string, string> };
      ran.push(path);
      assert.deepEqual(actual, expected, `${path} and ${pixelInfo().path}`);
    }
    t.diagnostic(`paths: ${ran.join(', ')}`);
    assert.ok(ran.includes('portable') && ran.includes(pixelInfo().path));
  });

  test('kernels and pixels refuse an unknown DROPSTREAM_ISA alike, by name and with what is allowed', async () => {
    const module = (name: string) => JSON.stringify(new URL(`../${name}.ts`, import.meta.url).href);
    const script = `
      const { engineInfo } = await import(${module('addon')});
      const { pixelInfo } = await import(${module('pixels')});
      for (const info of [engineInfo, pixelInfo]) {
        try { info(); console.log('accepted'); } catch (error) { console.log(error.message); }
      }`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--conditions=source', '--import', 'tsx', '--input-type=module', '-e', script],
      { env: { ...process.env, DROPSTREAM_ISA: 'sse9' }, timeout: 120_000 },
    );
    const message = `DROPSTREAM_ISA is "sse9", must be one of ${engineInfo().available.join(', ')} on this machine`;
    assert.deepEqual(stdout.trim().split('\n'), [message, message]);
  });
}
