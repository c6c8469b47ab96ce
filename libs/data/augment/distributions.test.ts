/**
 * Our draws against 100,000 of the reference's own code (fixtures/statistics.json). Margins: fixtures/README.md §7, with our number of draws.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { purposeKey } from '#random/philox.js';
import { Violations } from '#rpc/errors.js';
import { sharedPath } from '../../../test/support/shared-folder.js';
import { Draws } from './draws.js';
import { drawMix, type MixMode, type MixOptions, planMix, resolveMix, slotMix } from './mix-plan.js';
import { drawRandAugment, parseRandAugment } from './rand-augment.js';
import { fallbackCrop, randomResizedCrop } from './random-crop.js';
import { randomErasing } from './random-erasing.js';

const N = 20_000;
const path = sharedPath('fixtures', 'statistics.json');
const skip = path ? false : 'the shared fixtures are not here';
const fixture = path ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
const levels: number[] = fixture?.quantile_levels ?? [];

const margin = (p: number, ours: number, theirs: number) => 4 * Math.sqrt(p * (1 - p) * (1 / ours + 1 / theirs)) + 1e-9;

function agreesShare(what: string, ours: number, n: number, expected: number, theirs: number): void {
  // A share that the reference never or always met still has room for about ten of its draws.
  const p = Math.min(Math.max(expected, 5 / theirs), 1 - 5 / theirs);
  assert.ok(Math.abs(ours / n - expected) <= margin(p, n, theirs) + 1 / n, `${what}: ${ours / n}, expected ${expected}`);
}

/** The distribution function at each quantile; values may have ties, so it is a range there. */
function agrees(what: string, values: number[], expected: { n: number; quantiles: number[]; mean: number; std: number }): void {
  assert.ok(values.length > 0, what);
  levels.forEach((q, index) => {
    const at = expected.quantiles[index]!;
    const slack = Math.abs(at) * 1e-7;
    const below = values.filter((value) => value < at - slack).length / values.length;
    const upTo = values.filter((value) => value <= at + slack).length / values.length;
    const room = margin(q, values.length, expected.n) + 1 / expected.n;
    assert.ok(upTo >= q - room && below <= q + room, `${what}: quantile ${q} at ${at} is in [${below}, ${upTo}]`);
  });
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  assert.ok(
    Math.abs(mean - expected.mean) <= 5 * expected.std * Math.sqrt(1 / values.length + 1 / expected.n) + 1e-12,
    `${what}: mean ${mean}, expected ${expected.mean}`,
  );
}

const draws = (purpose: string, position: number) => new Draws(purposeKey(11n, purpose), 0, position);

test('RandomResizedCrop', { skip }, () => {
  for (const item of fixture.random_resized_crop) {
    const { height, width } = item.args;
    const boxes = Array.from({ length: N }, (_, i) => randomResizedCrop(draws(`crop ${width}x${height}`, i), width, height));
    const [top, left, h, w] = item.fallback_box_top_left_height_width;
    assert.deepEqual(fallbackCrop(width, height), { top, left, height: h, width: w });
    const fallbacks = boxes.filter((box) => box.top === top && box.left === left && box.height === h && box.width === w).length;
    const name = `${width}x${height}`;
    agreesShare(`${name} fallback`, fallbacks, N, item.fraction_equal_to_fallback_box, item.draws);
    agrees(
      `${name} area`,
      boxes.map((box) => (box.height * box.width) / (height * width)),
      item.area_fraction,
    );
    agrees(
      `${name} aspect`,
      boxes.map((box) => box.width / box.height),
      item.aspect_w_over_h,
    );
    agrees(
      `${name} height`,
      boxes.map((box) => box.height),
      item.height,
    );
    agrees(
      `${name} width`,
      boxes.map((box) => box.width),
      item.width,
    );
    agrees(
      `${name} top`,
      boxes.filter((box) => box.height < height).map((box) => box.top / (height - box.height)),
      item.top_over_free,
    );
    agrees(
      `${name} left`,
      boxes.filter((box) => box.width < width).map((box) => box.left / (width - box.width)),
      item.left_over_free,
    );
    assert.ok(boxes.every((box) => box.top + box.height <= height && box.left + box.width <= width && box.top >= 0 && box.left >= 0));
  }
});

test('RandomErasing', { skip }, () => {
  for (const item of fixture.random_erasing) {
    const { probability, height, width, max_count } = item.args;
    const images = Array.from({ length: N }, (_, i) =>
      randomErasing(draws(`erase ${width} ${max_count}`, i), { probability, mode: 'pixel', maxCount: max_count }, width, height),
    );
    for (const [count, share] of Object.entries(item.boxes_per_image))
      agreesShare(`boxes ${count}`, images.filter((boxes) => boxes.length === Number(count)).length, N, share as number, item.draws);
    const boxes = images.flat();
    const name = `${width}x${height}/${max_count}`;
    agrees(
      `${name} area`,
      boxes.map((box) => (box.height * box.width) / (height * width)),
      item.area_fraction,
    );
    agrees(
      `${name} aspect`,
      boxes.map((box) => box.height / box.width),
      item.aspect_h_over_w,
    );
    agrees(
      `${name} top`,
      boxes.map((box) => box.top / (height - box.height)),
      item.top_over_free,
    );
    agrees(
      `${name} left`,
      boxes.map((box) => box.left / (width - box.width)),
      item.left_over_free,
    );
    agrees(
      `${name} height`,
      boxes.map((box) => box.height),
      item.height,
    );
    agrees(
      `${name} width`,
      boxes.map((box) => box.width),
      item.width,
    );
  }
});

/** The reference's names and the argument as it reports it: a distance from "no change", sign left out. */
const reported: Record<string, [string, (argument: number, size: number) => number]> = {
  Rotate: ['Rotate', (a) => Math.abs(a)],
  Posterize: ['PosterizeIncreasing', (a) => a],
  Solarize: ['SolarizeIncreasing', (a) => a],
  SolarizeAdd: ['SolarizeAdd', (a) => a],
  Color: ['ColorIncreasing', (a) => Math.abs(a - 1)],
  Contrast: ['ContrastIncreasing', (a) => Math.abs(a - 1)],
  Brightness: ['BrightnessIncreasing', (a) => Math.abs(a - 1)],
  Sharpness: ['SharpnessIncreasing', (a) => Math.abs(a - 1)],
  ShearX: ['ShearX', (a) => Math.abs(a)],
  ShearY: ['ShearY', (a) => Math.abs(a)],
  TranslateX: ['TranslateXRel', (a, size) => Math.abs(a) / size],
  TranslateY: ['TranslateYRel', (a, size) => Math.abs(a) / size],
};

test('RandAugment', { skip }, () => {
  for (const item of fixture.rand_augment) {
    const policy = parseRandAugment(item.config);
    assert.ok(policy.ok && policy.value);
    const images = Array.from({ length: N }, (_, i) => drawRandAugment(draws(item.config, i), policy.value!, 200, () => 'bicubic'));
    for (const [count, share] of Object.entries(item.ops_applied_per_image))
      agreesShare(`${count} operations`, images.filter((ops) => ops.length === Number(count)).length, N, share as number, item.draws);
    const ops = images.flat();
    for (const op of ['AutoContrast', 'Equalize', 'Invert', ...Object.keys(reported)]) {
      const [name, report] = reported[op] ?? [op, () => 0];
      const of = ops.filter((one) => one.op === op);
      // Several operations an image: the share is of applications, so the margin is of a share of them all.
      const total = Object.values(item.applications_per_image as Record<string, number>).reduce((a, b) => a + b, 0);
      agreesShare(op, of.length, ops.length, item.applications_per_image[name] / total, item.draws * total);
      const arguments_ = item.argument[name];
      if (arguments_)
        agrees(
          op,
          of.map((one) => report(one.argument, 200)),
          arguments_,
        );
      const negative = item.fraction_negative_or_below_one[name];
      if (negative !== undefined) {
        const below = of.filter((one) => (name.endsWith('Increasing') ? one.argument < 1 : one.argument < 0)).length;
        agreesShare(`${op} sign`, below, of.length, negative, arguments_.n);
      }
    }
    for (const [value, share] of Object.entries(item.argument_values.PosterizeIncreasing)) {
      const of = ops.filter((one) => one.op === 'Posterize');
      agreesShare(
        `Posterize ${value}`,
        of.filter((one) => one.argument === Number(value)).length,
        of.length,
        share as number,
        item.argument.PosterizeIncreasing.n,
      );
    }
  }
});

const mixOf = (args: Record<string, unknown>, size: number) => {
  const options: MixOptions = {
    mixup: args.mixup_alpha as number,
    cutmix: args.cutmix_alpha as number,
    cutmixMinmax: (args.cutmix_minmax as number[] | undefined) ?? [],
    mixupProb: args.prob as number | undefined,
    mixupSwitchProb: args.switch_prob as number | undefined,
    mixupMode: args.mode as MixMode | undefined,
  };
  const violations = new Violations();
  const mix = resolveMix(options, size, violations);
  violations.throwIfAny();
  return mix;
};

test('mixup and cutmix of whole batches', { skip }, () => {
  for (const item of fixture.mixup_batch) {
    const { height, width } = item.args;
    if (height !== width) continue; // our images are square; the boxes' geometry is tested on its own
    const mix = mixOf(item.args, height);
    const drawn = Array.from({ length: N }, (_, i) => drawMix(mix, draws(JSON.stringify(item.args), i), height));
    const kinds = {
      none: drawn.filter((one) => one.lambda === 1),
      cutmix: drawn.filter((one) => one.cutmix && one.lambda < 1),
      mixup: drawn.filter((one) => !one.cutmix && one.lambda < 1),
    };
    for (const [kind, share] of Object.entries(item.fractions))
      agreesShare(kind, kinds[kind as keyof typeof kinds].length, N, share as number, item.draws);
    for (const [kind, lambda] of Object.entries(item.lambda_drawn))
      agrees(
        `lambda of ${kind}`,
        kinds[kind as 'mixup'].map((one) => one.lambda),
        lambda as never,
      );
    const boxes = kinds.cutmix.map((one) => slotMix(one, 0, height, width));
    agrees(
      'lambda after box',
      boxes.map((one) => one?.lambda ?? 1),
      item.lambda_after_box,
    );
    agreesShare(
      'empty boxes',
      boxes.filter((one) => one === null).length,
      boxes.length,
      item.fraction_of_empty_boxes,
      item.lambda_after_box.n,
    );
    const full = boxes.flatMap((one) => (one?.box ? [one.box] : []));
    if (item.fraction_of_empty_boxes < 1e-3) {
      agrees(
        'top',
        full.map((box) => box.top),
        item.box_top,
      );
      agrees(
        'left',
        full.map((box) => box.left),
        item.box_left,
      );
      agrees(
        'height',
        full.map((box) => box.height),
        item.box_height,
      );
      agrees(
        'width',
        full.map((box) => box.width),
        item.box_width,
      );
    }
  }
});

test('mixup and cutmix of pairs and elements', { skip }, () => {
  for (const item of fixture.mixup_elementwise) {
    const { batch, mode } = item.args;
    const mix = mixOf(item.args, 224);
    const key = purposeKey(5n, `mix ${mode}`);
    const slots = Array.from({ length: Math.floor(N / batch) * (mode === 'pair' ? 2 : 1) }, (_, k) => {
      const plans = planMix(mix, key, 0, k * batch, batch, 224);
      return mode === 'pair' ? plans.slice(0, batch / 2) : plans;
    }).flat();
    // An empty box counts as unmixed here and as mixed there: less than 1 in 1,000.
    const unmixed = slots.filter((slot) => slot === null).length;
    assert.ok(Math.abs(unmixed / slots.length - item.fraction_unmixed) < margin(item.fraction_unmixed, slots.length, item.draws) + 1e-3);
    const mixups = slots.filter((slot) => slot !== null && slot.box === null);
    agrees(
      'lambda',
      mixups.map((slot) => slot!.lambda),
      item.lambda_of_mixup,
    );
    agreesShare(
      'cutmix',
      slots.length - unmixed - mixups.length,
      slots.length - unmixed,
      item.fraction_cutmix_of_mixed,
      item.draws * (1 - item.fraction_unmixed),
    );
  }
});
