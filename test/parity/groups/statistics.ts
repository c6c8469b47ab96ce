/** statistics.json: our counter-based draws against those of the reference's own code, by quantiles and shares (README §7). */

import { Draws } from '#data/plan/augment/draws.js';
import { type DrawnMix, drawMix, type Mix, planMix, resolveMix, slotMix } from '#data/plan/augment/mix-plan.js';
import { drawRandAugment, parseRandAugment } from '#data/plan/augment/rand-augment.js';
import { fallbackCrop, randomResizedCrop } from '#data/plan/augment/random-crop.js';
import { randomErasing } from '#data/plan/augment/random-erasing.js';
import { Violations } from '#errors/errors.js';
import { purposeKey } from '#random/philox.js';
import { mixupModes } from '#spec/words.js';
import { type Check, holds, same } from '../../support/checks.js';
import { listed, type ParityCase, type ParitySource, short } from '../parity-case.js';

/** Draws of ours for each distribution: more than there, so that the margin is theirs. */
const DRAWS = 200_000;

/** What every comparison needs: the levels of the quantiles, and how often we draw. */
interface Scale {
  levels: readonly number[];
  draws: number;
}

interface Distribution {
  n: number;
  mean: number;
  std: number;
  quantiles: number[];
}

interface CropItem {
  args: { height: number; width: number };
  draws: number;
  fallback_box_top_left_height_width: [number, number, number, number];
  fraction_equal_to_fallback_box: number;
  area_fraction: Distribution;
  aspect_w_over_h: Distribution;
  height: Distribution;
  width: Distribution;
  top_over_free: Distribution;
  left_over_free: Distribution;
}

interface ErasingItem {
  args: { probability: number; height: number; width: number; max_count: number };
  draws: number;
  boxes_per_image: Record<string, number>;
  area_fraction: Distribution;
  aspect_h_over_w: Distribution;
  height: Distribution;
  width: Distribution;
  top_over_free: Distribution;
  left_over_free: Distribution;
}

interface AugmentItem {
  config: string;
  draws: number;
  ops_applied_per_image: Record<string, number>;
  applications_per_image: Record<string, number>;
  fraction_negative_or_below_one: Record<string, number>;
  argument: Record<string, Distribution>;
  argument_values: Record<string, Record<string, number>>;
}

interface MixArgs {
  mixup_alpha: number;
  cutmix_alpha: number;
  cutmix_minmax?: [number, number];
  prob?: number;
  switch_prob?: number;
  mode?: 'batch' | 'pair' | 'elem';
}

interface BatchMixItem {
  args: MixArgs & { height: number; width: number };
  draws: number;
  fractions: Record<string, number>;
  lambda_drawn: Record<string, Distribution>;
  lambda_after_box: Distribution;
  fraction_of_empty_boxes: number;
  box_top: Distribution;
  box_left: Distribution;
  box_height: Distribution;
  box_width: Distribution;
}

interface ElementMixItem {
  args: MixArgs & { batch: number };
  draws: number;
  fraction_unmixed: number;
  fraction_cutmix_of_mixed: number;
  lambda_of_mixup: Distribution;
  lambda_of_cutmix: Distribution;
}

export interface StatisticsFile {
  quantile_levels: number[];
  random_resized_crop?: CropItem[];
  random_erasing?: ErasingItem[];
  rand_augment?: AugmentItem[];
  mixup_batch?: BatchMixItem[];
  mixup_elementwise?: ElementMixItem[];
}

const drawsOf = (purpose: string, position: number) => new Draws(purposeKey(11n, purpose), 0, position);
const times = <T>(draws: number, make: (i: number) => T): T[] => Array.from({ length: draws }, (_, i) => make(i));

/** 4·√(2p(1 − p)/n), n the smaller number of draws. */
const margin = (p: number, ours: number, theirs: number) => 4 * Math.sqrt((2 * p * (1 - p)) / Math.min(ours, theirs)) + 1e-9;

function share(what: string, ours: number, n: number, expected: number, theirs: number): Check {
  // A share that the reference never or always met still has room for about ten of its draws.
  const p = Math.min(Math.max(expected, 5 / theirs), 1 - 5 / theirs);
  return { what, error: Math.abs(ours / n - expected), tolerance: margin(p, n, theirs) + 1 / n, note: `${ours / n}, expected ${expected}` };
}

/** The distribution function at each quantile; values may have ties, so it is a range there. And the mean, within five deviations. */
function distribution(levels: readonly number[], what: string, values: readonly number[], expected: Distribution): Check[] {
  if (values.length === 0 || expected.quantiles.length !== levels.length) throw new Error(`${what}: nothing to compare`);
  const sorted = Float64Array.from(values).sort();
  const below = (limit: number) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]! < limit) low = middle + 1;
      else high = middle;
    }
    return low / sorted.length;
  };
  const checks = levels.map((q, index): Check => {
    const at = expected.quantiles[index]!;
    const slack = Math.abs(at) * 1e-7;
    const [from, to] = [below(at - slack), below(at + slack + Number.MIN_VALUE)];
    const error = Number.isFinite(at) ? Math.max(0, q - to, from - q) : Number.NaN;
    return {
      what: `${what}: quantile ${q}`,
      error,
      tolerance: margin(q, values.length, expected.n) + 1 / expected.n,
      note: `${at} is at [${from}, ${to}]`,
    };
  });
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const room = 5 * expected.std * Math.sqrt(1 / values.length + 1 / expected.n) + 1e-12;
  return [
    ...checks,
    { what: `${what}: mean`, error: Math.abs(mean - expected.mean), tolerance: room, note: `${mean}, expected ${expected.mean}` },
  ];
}

type Compare = (what: string, values: readonly number[], expected: Distribution) => Check[];

function cropChecks({ levels, draws }: Scale, item: CropItem): Check[] {
  const compare: Compare = (what, values, expected) => distribution(levels, what, values, expected);
  const { height, width } = item.args;
  const boxes = times(draws, (i) => randomResizedCrop(drawsOf(`crop ${width}x${height}`, i), width, height));
  const [top, left, h, w] = item.fallback_box_top_left_height_width;
  const fallbacks = boxes.filter((box) => box.top === top && box.left === left && box.height === h && box.width === w).length;
  const inside = boxes.every((box) => box.top >= 0 && box.left >= 0 && box.top + box.height <= height && box.left + box.width <= width);
  const free = (side: 'height' | 'width', full: number, at: 'top' | 'left') =>
    boxes.filter((box) => box[side] < full).map((box) => box[at] / (full - box[side]));
  return [
    same('fallback box', fallbackCrop(width, height), { top, left, height: h, width: w }),
    holds('inside the image', inside),
    share('fallbacks', fallbacks, draws, item.fraction_equal_to_fallback_box, item.draws),
    ...compare(
      'area',
      boxes.map((box) => (box.height * box.width) / (height * width)),
      item.area_fraction,
    ),
    ...compare(
      'aspect',
      boxes.map((box) => box.width / box.height),
      item.aspect_w_over_h,
    ),
    ...compare(
      'height',
      boxes.map((box) => box.height),
      item.height,
    ),
    ...compare(
      'width',
      boxes.map((box) => box.width),
      item.width,
    ),
    ...compare('top', free('height', height, 'top'), item.top_over_free),
    ...compare('left', free('width', width, 'left'), item.left_over_free),
  ];
}

function erasingChecks({ levels, draws }: Scale, item: ErasingItem): Check[] {
  const compare: Compare = (what, values, expected) => distribution(levels, what, values, expected);
  const { probability, height, width, max_count } = item.args;
  const erasing = { probability, mode: 'pixel', maxCount: max_count } as const;
  const images = times(draws, (i) => randomErasing(drawsOf(`erase ${width} ${max_count}`, i), erasing, width, height));
  const boxes = images.flat();
  return [
    ...Object.entries(item.boxes_per_image).map(([count, expected]) =>
      share(`images of ${count} boxes`, images.filter((of) => of.length === Number(count)).length, draws, expected, item.draws),
    ),
    ...compare(
      'area',
      boxes.map((box) => (box.height * box.width) / (height * width)),
      item.area_fraction,
    ),
    ...compare(
      'aspect',
      boxes.map((box) => box.height / box.width),
      item.aspect_h_over_w,
    ),
    ...compare(
      'top',
      boxes.map((box) => box.top / (height - box.height)),
      item.top_over_free,
    ),
    ...compare(
      'left',
      boxes.map((box) => box.left / (width - box.width)),
      item.left_over_free,
    ),
    ...compare(
      'height',
      boxes.map((box) => box.height),
      item.height,
    ),
    ...compare(
      'width',
      boxes.map((box) => box.width),
      item.width,
    ),
  ];
}

const SIDE = 200;

/** By our name, the argument as the reference reports it: a distance from "no change", sign left out. */
const reported: Readonly<Record<string, (argument: number) => number>> = {
  Rotate: Math.abs,
  Posterize: (a) => a,
  Solarize: (a) => a,
  SolarizeAdd: (a) => a,
  Color: (a) => Math.abs(a - 1),
  Contrast: (a) => Math.abs(a - 1),
  Brightness: (a) => Math.abs(a - 1),
  Sharpness: (a) => Math.abs(a - 1),
  ShearX: Math.abs,
  ShearY: Math.abs,
  TranslateX: (a) => Math.abs(a) / SIDE,
  TranslateY: (a) => Math.abs(a) / SIDE,
};
const ours = (name: string) => name.replace(/Increasing$|Rel$/, '');

function randAugmentChecks({ levels, draws }: Scale, item: AugmentItem): Check[] {
  const policy = parseRandAugment(item.config);
  if (!policy.ok || policy.value === null) throw new Error(`${item.config}: ${policy.ok ? 'no augmentation' : policy.allowed}`);
  const { value } = policy;
  const images = times(draws, (i) => drawRandAugment(drawsOf(item.config, i), value, SIDE, () => 'bicubic'));
  const ops = images.flat();
  // Several operations an image: the share is of applications, so the margin is of a share of them all.
  const total = Object.values(item.applications_per_image).reduce((a, b) => a + b, 0);
  const known = new Set(Object.keys(item.applications_per_image).map(ours));
  const checks = [
    holds(
      'no other operations',
      ops.every(({ op }) => known.has(op)),
    ),
    ...Object.entries(item.ops_applied_per_image).map(([count, expected]) =>
      share(`images of ${count} operations`, images.filter((of) => of.length === Number(count)).length, draws, expected, item.draws),
    ),
  ];
  for (const [name, expected] of Object.entries(item.applications_per_image)) {
    const of = ops.filter(({ op }) => op === ours(name));
    checks.push(share(name, of.length, ops.length, expected / total, item.draws * total));
    const argument = item.argument[name];
    if (argument === undefined) continue;
    const report = reported[ours(name)];
    if (report === undefined) throw new Error(`${name} has no argument`);
    checks.push(
      ...distribution(
        levels,
        name,
        of.map((one) => report(one.argument)),
        argument,
      ),
    );
    const negative = item.fraction_negative_or_below_one[name];
    if (negative !== undefined) {
      const below = of.filter((one) => one.argument < (name.endsWith('Increasing') ? 1 : 0)).length;
      checks.push(share(`${name}: sign`, below, of.length, negative, argument.n));
    }
    for (const [wanted, fraction] of Object.entries(item.argument_values[name] ?? {})) {
      const equal = of.filter((one) => one.argument === Number(wanted)).length;
      checks.push(share(`${name}: ${wanted}`, equal, of.length, fraction, argument.n));
    }
  }
  return checks;
}

function mixOf({ mixup_alpha, cutmix_alpha, cutmix_minmax, prob, switch_prob, mode }: MixArgs, size: number): Mix {
  const violations = new Violations();
  const options = {
    mixup: mixup_alpha,
    cutmix: cutmix_alpha,
    cutmixMinmax: cutmix_minmax ?? [],
    mixupProb: prob,
    mixupSwitchProb: switch_prob,
  };
  const mix = resolveMix({ ...options, mixupMode: mode && mixupModes.fromWord(mode) }, size, violations);
  violations.throwIfAny();
  return mix;
}

function batchMixChecks({ levels, draws }: Scale, item: BatchMixItem): Check[] {
  const compare: Compare = (what, values, expected) => distribution(levels, what, values, expected);
  const { height, width } = item.args;
  const mix = mixOf(item.args, height);
  // Our images are square; the same draw at both sides' lengths is that of an oblong one.
  const drawn = times(draws, (i): DrawnMix => {
    const draw = (side: number) => drawMix(mix, drawsOf(JSON.stringify(item.args), i), side);
    const [tall, wide] = [draw(height), draw(width)];
    const range = tall.range && wide.range && { ...tall.range, left: wide.range.left, width: wide.range.width };
    return { ...tall, centre: { y: tall.centre.y, x: wide.centre.x }, range };
  });
  const kinds: Record<string, typeof drawn> = {
    none: drawn.filter((one) => one.lambda === 1),
    cutmix: drawn.filter((one) => one.cutmix && one.lambda < 1),
    mixup: drawn.filter((one) => !one.cutmix && one.lambda < 1),
  };
  const kind = (name: string) => {
    if (kinds[name] === undefined) throw new Error(`no kind ${name}`);
    return kinds[name];
  };
  const boxes = kind('cutmix').map((one) => slotMix(one, 0, height, width));
  const full = boxes.flatMap((one) => (one?.box ? [one.box] : []));
  const empty = boxes.filter((one) => one === null).length;
  const checks = [
    ...Object.entries(item.fractions).map(([name, expected]) => share(name, kind(name).length, draws, expected, item.draws)),
    ...Object.entries(item.lambda_drawn).flatMap(([name, expected]) =>
      compare(
        `lambda of ${name}`,
        kind(name).map((one) => one.lambda),
        expected,
      ),
    ),
    ...compare(
      'lambda after the box',
      boxes.map((one) => one?.lambda ?? 1),
      item.lambda_after_box,
    ),
    share('empty boxes', empty, boxes.length, item.fraction_of_empty_boxes, item.lambda_after_box.n),
  ];
  // There empty boxes have a place, ours have none: comparable where they hardly occur.
  if (item.fraction_of_empty_boxes >= 1e-3) return checks;
  return [
    ...checks,
    ...compare(
      'top',
      full.map((box) => box.top),
      item.box_top,
    ),
    ...compare(
      'left',
      full.map((box) => box.left),
      item.box_left,
    ),
    ...compare(
      'height',
      full.map((box) => box.height),
      item.box_height,
    ),
    ...compare(
      'width',
      full.map((box) => box.width),
      item.box_width,
    ),
  ];
}

const IMAGE = 224;

function elementMixChecks({ levels, draws }: Scale, item: ElementMixItem): Check[] {
  const { batch, mode } = item.args;
  const mix = mixOf(item.args, IMAGE);
  const key = purposeKey(5n, `mix ${mode}`);
  const batches = Math.ceil(draws / (mode === 'pair' ? batch / 2 : batch));
  const slots = Array.from({ length: batches }, (_, k) => {
    const plans = planMix(mix, key, 0, k * batch, batch, IMAGE);
    return mode === 'pair' ? plans.slice(0, batch / 2) : plans;
  }).flat();
  const unmixed = slots.filter((slot) => slot === null).length;
  const mixups = slots.filter((slot) => slot !== null && slot.box === null);
  const mixed = slots.length - unmixed;
  const drawn = times(draws, (i) => drawMix(mix, new Draws(key, 0, i), IMAGE)).filter((one) => one.cutmix && one.lambda < 1);
  const none = share('unmixed', unmixed, slots.length, item.fraction_unmixed, item.draws);
  return [
    // An empty box counts as unmixed here and as mixed there: less than 1 in 1,000.
    { ...none, tolerance: none.tolerance + 1e-3 },
    ...distribution(
      levels,
      'lambda of mixup',
      mixups.map((slot) => slot!.lambda),
      item.lambda_of_mixup,
    ),
    ...distribution(
      levels,
      'lambda of cutmix',
      drawn.map((one) => one.lambda),
      item.lambda_of_cutmix,
    ),
    share('cutmix of mixed', mixed - mixups.length, mixed, item.fraction_cutmix_of_mixed, item.draws * (1 - item.fraction_unmixed)),
  ];
}

/** Every case of a file; the unit tests of the draws run the same. */
export function statisticsCases(file: string, golden: StatisticsFile, draws = DRAWS): ParityCase[] {
  const scale: Scale = { levels: listed(file, 'quantile levels', golden.quantile_levels), draws };
  const each = <T>(what: string, items: readonly T[] | undefined, nameOf: (item: T) => string, run: (item: T) => Check[]) =>
    items === undefined
      ? []
      : listed(file, what, items).map((item): ParityCase => ({ name: `statistics/${what} ${nameOf(item)}`, run: () => run(item) }));
  return [
    ...each(
      'random_resized_crop',
      golden.random_resized_crop,
      ({ args }) => short(args),
      (item) => cropChecks(scale, item),
    ),
    ...each(
      'random_erasing',
      golden.random_erasing,
      ({ args }) => short(args),
      (item) => erasingChecks(scale, item),
    ),
    ...each(
      'rand_augment',
      golden.rand_augment,
      ({ config }) => config,
      (item) => randAugmentChecks(scale, item),
    ),
    ...each(
      'mixup_batch',
      golden.mixup_batch,
      ({ args }) => short(args),
      (item) => batchMixChecks(scale, item),
    ),
    ...each(
      'mixup_elementwise',
      golden.mixup_elementwise,
      ({ args }) => short(args),
      (item) => elementMixChecks(scale, item),
    ),
  ];
}

export const statistics: ParitySource = {
  group: 'statistics',
  file: /^statistics\.json$/,
  cases: (file, { folder }) => statisticsCases(file, folder.json<StatisticsFile>(file)),
};
