import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { Violations } from '#errors/errors.js';
import { type EraseMode, TrainInterpolation } from '#protocol/dropstream/v1/data.js';
import { purposeKey } from '#random/philox.js';
import { sharedPath } from '../../../../test/support/shared-folder.js';
import { canonicalJson, type Json } from '../canonical-json.js';
import { Draws } from './draws.js';
import { parseRandAugment, pixelOp, RAND_AUGMENT_OPS } from './rand-augment.js';
import { evaluationCrop } from './random-crop.js';
import { drawColorJitter, planSample, refusedSize, sampleKeys } from './sample-plan.js';
import { resolveTransform, type TransformOptions } from './transform.js';

const path = sharedPath('fixtures', 'augment', 'augment.json');
const skip = path ? false : 'the shared fixtures are not here';

function transformOf(options: Partial<TransformOptions>) {
  const violations = new Violations();
  const transform = resolveTransform({ inputSize: 224, training: true, ...options }, violations);
  violations.throwIfAny();
  return transform;
}
const keys = sampleKeys(42n);
const plan = (options: Partial<TransformOptions>, position = 0, [width, height] = [500, 375], epoch = 0) =>
  planSample(transformOf(options), keys, { epoch, position, attempt: 0 }, width as number, height as number);
const many = (options: Partial<TransformOptions>, size?: [number, number]) =>
  Array.from({ length: 2000 }, (_, i) => plan(options, i, size));

test('magnitude and sign give the reference’s arguments', { skip }, () => {
  const { randaugment, sources } = JSON.parse(readFileSync(path as string, 'utf8'));
  let rows = 0;
  type Row = { argument: number | null; magnitude: number; sign: 1 | -1 | null; interpolation: 'bilinear' | 'bicubic' };
  for (const [name, groups] of Object.entries<{ source: string; rows: Row[] }[]>(randaugment)) {
    const increasing = name.endsWith('Increasing');
    const op = name.replace('Increasing', '').replace('Rel', '') as (typeof RAND_AUGMENT_OPS)[number];
    assert.ok(RAND_AUGMENT_OPS.includes(op), op);
    for (const group of groups) {
      for (const row of group.rows) {
        if (row.argument === null) continue;
        const size = name.endsWith('Rel') ? sources[group.source].width : 1;
        const { argument } = pixelOp(op, row.magnitude, row.sign ?? 1, increasing, size, () => row.interpolation);
        assert.ok(Math.abs(argument / size - row.argument) < 1e-12, `${name} ${row.magnitude}: ${argument}, expected ${row.argument}`);
        rows++;
      }
    }
  }
  assert.ok(rows > 60);
});

test('without inc the arguments are the plain ones', () => {
  const at = (op: (typeof RAND_AUGMENT_OPS)[number], magnitude: number) =>
    pixelOp(op, magnitude, -1, false, 100, () => 'bilinear').argument;
  assert.deepEqual([at('Posterize', 9), at('Posterize', 10), at('Solarize', 5), at('Color', 0)], [3, 4, 128, 0.1]);
  assert.ok(Math.abs(at('Sharpness', 10) - 1.9) < 1e-12);
  assert.deepEqual(
    [pixelOp('Posterize', 10, 1, true, 1, () => 'bilinear').argument, pixelOp('Solarize', 10, 1, true, 1, () => 'bilinear').argument],
    [0, 0],
  );
});

test('evaluation resizes and crops as the reference', { skip }, () => {
  const { evaluation } = JSON.parse(readFileSync(path as string, 'utf8'));
  const sizes: Record<string, [number, number]> = {
    n01440764_tench: [500, 375],
    n03908714_pencil_sharpener: [333, 500],
    n01843383_toucan: [500, 375],
  };
  for (const { image, input_size, crop_pct, resized_width_height } of evaluation) {
    const size = sizes[image];
    if (!size) continue;
    const { geometry } = plan({ training: false, inputSize: input_size, cropPct: crop_pct ?? undefined }, 0, size).render;
    if (input_size >= 384) assert.deepEqual(geometry, { kind: 'warp', interpolation: 'bicubic' });
    else {
      assert.ok(geometry.kind === 'resize_center_crop');
      const long = Math.abs(geometry.resizeWidth - resized_width_height[0]) + Math.abs(geometry.resizeHeight - resized_width_height[1]);
      assert.equal(long, 0, `${image} at ${input_size}: ${geometry.resizeWidth} x ${geometry.resizeHeight}`);
    }
  }
  assert.deepEqual(evaluationCrop(101, 100, 80, 1), { resizeWidth: 80, resizeHeight: 80, top: 0, left: 0 });
  assert.deepEqual(evaluationCrop(85, 80, 80, 1), { resizeWidth: 85, resizeHeight: 80, top: 0, left: 2 }); // 2.5 to the even 2
});

test('at 32 pixels and below training crops a padded image and evaluation leaves it alone', () => {
  const crops = many({ inputSize: 32 }, [32, 32]).map(({ render }) => render.geometry);
  assert.ok(crops.every((one) => one.kind === 'padded_crop' && one.padding === 4));
  const tops = crops.map((one) => (one.kind === 'padded_crop' ? one.top : -1));
  assert.deepEqual([...new Set(tops)].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(plan({ inputSize: 28, cropPadding: 0 }, 3, [28, 28]).render.geometry, { kind: 'none' });
  assert.deepEqual(plan({ inputSize: 28, training: false }, 3, [28, 28]).render.geometry, { kind: 'none' });
  assert.match(refusedSize(transformOf({ inputSize: 28, training: false }), 32, 28) ?? '', /exactly 28 x 28/);
  assert.match(refusedSize(transformOf({ inputSize: 32, cropPadding: 1 }), 29, 40) ?? '', /at least 30 x 30/);
  assert.equal(refusedSize(transformOf({ inputSize: 33 }), 1, 1), undefined);
});

test('half of the images are flipped, a quarter erased, and each option switches its part off', () => {
  const share = (plans: ReturnType<typeof many>, holds: (one: ReturnType<typeof plan>) => boolean) =>
    plans.filter(holds).length / plans.length;
  const usual = many({});
  assert.ok(Math.abs(share(usual, ({ render }) => render.flip) - 0.5) < 4 * Math.sqrt(0.25 / 2000));
  assert.ok(Math.abs(share(usual, ({ erase }) => erase.length > 0) - 0.25) < 4 * Math.sqrt(0.1875 / 2000));
  const none = many({ hflip: 0, reprob: 0, aa: '', colorJitter: 0 });
  assert.ok(none.every(({ render, erase }) => !render.flip && erase.length === 0 && render.ops.length === 0));
  assert.ok(many({ hflip: 1, reprob: 1 }).every(({ render, erase }) => render.flip && erase.length === 1));
  assert.ok(plan({ training: false, hflip: 1, reprob: 1 }).erase.length === 0 && !plan({ training: false, hflip: 1 }).render.flip);
});

test('a purpose’s draws do not depend on the options of another', () => {
  const crops = (options: Partial<TransformOptions>) => many(options).map(({ render }) => render.geometry);
  assert.deepEqual(crops({}), crops({ aa: '', reprob: 1, hflip: 0.1 }));
  assert.deepEqual(plan({}, 7).erase, plan({ aa: '', trainInterpolation: TrainInterpolation.RANDOM }, 7).erase);
});

test('color jitter stands in for an empty aa only: three factors in [0.6, 1.4], in every order', () => {
  const jitters = many({ aa: '' }).map(({ render }) => render.ops);
  assert.ok(jitters.every((ops) => ops.length === 3 && ops.every(({ argument }) => argument >= 0.6 && argument < 1.4)));
  assert.equal(new Set(jitters.map((ops) => ops.map(({ op }) => op).join())).size, 6);
  assert.ok(drawColorJitter(new Draws(purposeKey(1n, 'x'), 0, 0), 3).every(({ argument }) => argument >= 0 && argument < 4));
  assert.ok(many({}).some(({ render }) => render.ops.some(({ op }) => op === 'Rotate')));
});

test('random interpolation is drawn for the crop and for every geometric operation', () => {
  const plans = many({ trainInterpolation: TrainInterpolation.RANDOM, aa: 'rand-m9-n4-inc1' });
  const kinds = plans.map(({ render }) =>
    [render.geometry, ...render.ops].flatMap((one) => ('interpolation' in one && one.interpolation ? [one.interpolation] : [])),
  );
  assert.ok(kinds.some((list) => list.length > 2 && new Set(list).size === 2));
  assert.ok(Math.abs(kinds.filter(([crop]) => crop === 'bilinear').length / 2000 - 0.5) < 0.05);
  for (const { render } of many({ trainInterpolation: TrainInterpolation.BILINEAR }))
    assert.ok(
      [render.geometry, ...render.ops].every(
        (one) => !('interpolation' in one) || one.interpolation === undefined || one.interpolation === 'bilinear',
      ),
    );
});

test('a plan depends on seed, epoch, position and size only, and is plain data', () => {
  fc.assert(
    fc.property(fc.nat(1e6), fc.nat(300), (position, epoch) => {
      const one = plan({}, position, [500, 375], epoch);
      assert.deepEqual(JSON.parse(JSON.stringify(one)), one);
      assert.deepEqual(plan({}, position, [500, 375], epoch), one);
      assert.notDeepEqual(plan({}, position + 1, [500, 375], epoch).render.geometry, one.render.geometry);
      assert.notDeepEqual(plan({}, position, [500, 375], epoch + 1).render.geometry, one.render.geometry);
    }),
    { numRuns: 50 },
  );
});

test('known plans do not change between versions or machines', () => {
  const text = canonicalJson([
    many({ reprob: 1, recount: 3, trainInterpolation: TrainInterpolation.RANDOM }),
    many({ aa: '' }),
  ] as unknown as Json);
  assert.equal(createHash('sha256').update(text).digest('hex'), KNOWN_PLANS);
});

test('RandAugment strings: defaults, sections, refusals by name', () => {
  const value = (text: string) => {
    const parsed = parseRandAugment(text);
    return parsed.ok ? parsed.value : parsed.allowed;
  };
  assert.equal(value(''), null);
  const plain = { magnitude: 10, count: 2, deviation: 0, increasing: false, weighted: false };
  assert.deepEqual(value('rand'), plain);
  assert.deepEqual(value('rand-m9-mstd0.5-inc1'), { ...plain, magnitude: 9, deviation: 0.5, increasing: true });
  assert.deepEqual(value('rand-m7-n3-inc0'), { ...plain, magnitude: 7, count: 3, increasing: true });
  assert.deepEqual(value('rand-w0-n13'), { ...plain, count: 13, weighted: true });
  const refused: [string, RegExp][] = [
    ['augmix-m3', /AugMix is not supported/],
    ['v0r-mstd0.5', /AutoAugment/],
    ['original', /AutoAugment/],
    ['auto', /not a policy/],
    ['rand-x3', /not a section/],
    ['rand-m9.5', /integer/],
    ['rand-m11', /at most 10/],
    ['rand-n0', /1 to 32/],
    ['rand-w1', /only set/],
    ['rand-w0-inc1', /no weights/],
    ['rand-w0-n14', /at most 13/],
    ['rand-mstd', /not a section/],
    ['rand-', /not a section/],
  ];
  for (const [text, why] of refused) assert.match(String(value(text)), why, text);
});

test('weighted operations are drawn without replacement, Invert and Posterize never', () => {
  const plans = many({ aa: 'rand-m9-n13-w0' });
  for (const { render } of plans) {
    const names = render.ops.map(({ op }) => op);
    assert.equal(new Set(names).size, names.length);
    assert.ok(!names.includes('Invert') && !names.includes('Posterize'));
  }
  const first = many({ aa: 'rand-m9-n1-w0' }).flatMap(({ render }) => render.ops.map(({ op }) => op));
  assert.ok(Math.abs(first.filter((op) => op === 'Rotate').length / first.length - 0.3) < 4 * Math.sqrt(0.21 / first.length));
});

test('transform options outside their ranges are all named', () => {
  const violations = new Violations();
  resolveTransform(
    {
      inputSize: 7,
      training: true,
      colorJitter: -1,
      aa: 'x',
      trainInterpolation: 9 as TrainInterpolation,
      cropPct: 0,
      reprob: NaN,
      remode: 9 as EraseMode,
      recount: 0,
      cropPadding: 33,
      hflip: 2,
    },
    violations,
    't.',
  );
  assert.deepEqual(
    violations.list.map(({ field }) => field.slice(2)),
    ['aa', 'input_size', 'color_jitter', 'train_interpolation', 'crop_pct', 'reprob', 'remode', 'recount', 'crop_padding', 'hflip'],
  );
});

/** A change means other pixels for the same plan: raise PLAN_SEMANTICS_VERSION with it. */
const KNOWN_PLANS = '47c796dbb69185c957f3f0a58bf2d9160ecc230db8403c6b24c476a8a2b3d8d1';
