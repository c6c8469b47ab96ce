/** augment/augment.json: every operation, crop, resize and decoder against Pillow's pixels, byte for byte (README §6). */
import { pixelOp, RAND_AUGMENT_OPS } from '#data/plan/augment/rand-augment.js';
import { planSample, sampleKeys } from '#data/plan/augment/sample-plan.js';
import { normalisation, resolveTransform } from '#data/plan/augment/transform.js';
import { Violations } from '#errors/errors.js';
import { loadAddon } from '#native/addon.js';
import { renderRecord } from '#native/pixels/plan-record.js';
import {
  decode,
  finishBatch,
  type Interpolation,
  type PixelOp,
  type PixelOpName,
  type RenderPlan,
  type RenderSource,
  readHeader,
  renderBatch,
} from '#native/pixels.js';
import { absolute, type Check, holds, largestDifference, same } from '../../support/checks.js';
import { interleaved, type RgbImage, readPng, sha256 } from '../../support/image-fixtures.js';
import { listed, type ParityCase, type ParityContext, type ParitySource } from '../parity-case.js';

type Triple = [number, number, number];

interface Row {
  magnitude: number | null;
  sign: 1 | -1 | null;
  interpolation: Interpolation | null;
  argument: number | null;
  sha256: string;
}

interface Crop {
  image: string;
  top: number;
  left: number;
  height: number;
  width: number;
  size: number;
  file: string;
  sha256: string;
}

export interface AugmentFile {
  fill: Triple;
  sources: Record<string, { file: string; width: number; height: number; sha256: string }>;
  randaugment: Record<string, { source: string; file: string; rows: Row[] }[]>;
  crop_resize: (Crop & { interpolation: Interpolation })[];
  evaluation: {
    image: string;
    input_size: number;
    crop_pct: number | null;
    resized_width_height: [number, number];
    file: string;
    sha256: string;
  }[];
  color_jitter: { source: string; steps: [string, number][]; file: string; sha256: string }[];
  flip_and_pad: {
    source: string;
    flip_sha256: string;
    tile_left_top_right_bottom: [number, number, number, number];
    pad4_crops: { top: number; left: number; sha256: string }[];
  }[];
  pipeline: (Crop & {
    flip: boolean;
    ops_magnitude_sign: [string, number, 1 | -1][];
    erase_top_left_height_width: [number, number, number, number];
    tensor_channel_sums: Triple;
    tensor_at: number[];
    tensor_values: number[];
  })[];
  jpeg_special: { file: string; expected: string; width: number; height: number; rgb_sha256: string }[];
  jpeg_decode: { name: string; file_sha256: string; width: number; height: number; rgb_sha256: string; mean_rgb: Triple }[];
}

const FILE = 'augment/augment.json';
const PADDING = 4;

const raw = ({ rgb, width, height }: RgbImage): RenderSource => ({ format: 'rgb', bytes: rgb, width, height });
const encoded = (bytes: Uint8Array): RenderSource => ({
  format: bytes[0] === 0x89 ? 'png' : 'jpeg',
  bytes,
  width: 0,
  height: 0,
});

/** The checks of one folder's augment.json; each method gives those of one entry. */
class PixelChecks {
  readonly file: AugmentFile;

  constructor(private readonly context: Pick<ParityContext, 'folder' | 'images'>) {
    this.file = context.folder.json<AugmentFile>(FILE);
  }

  #png(file: string): RgbImage {
    return readPng(this.context.folder.path(`augment/${file}`));
  }

  #source(name: string): RgbImage {
    const source = this.file.sources[name];
    if (source === undefined) throw new Error(`${FILE}: no source ${name}`);
    const image = this.#png(source.file);
    if (sha256(image.rgb) !== source.sha256) throw new Error(`${source.file} does not have the pixels of its SHA-256`);
    return image;
  }

  #plan(plan: Partial<RenderPlan>): RenderPlan {
    return { geometry: { kind: 'none' }, flip: false, ops: [], fill: this.file.fill, ...plan };
  }

  /** Interleaved pixels of one rendered sample, as training and evaluation render it. */
  async #rendered(from: RenderSource, size: number, plan: Partial<RenderPlan>): Promise<Uint8Array> {
    const out = new Uint8Array(3 * size * size);
    const [outcome] = await renderBatch([{ source: from, plan: this.#plan(plan) }], size, out);
    if (!outcome?.ok) throw new Error(`not rendered: ${outcome?.reason}`);
    return interleaved(out);
  }

  /** Flip and operations on an image of any shape; batches are square. */
  async #adjusted(image: RgbImage, plan: Partial<RenderPlan>): Promise<Uint8Array> {
    const out = new Uint8Array(image.rgb.length);
    const record = Float64Array.from(renderRecord(raw(image), this.#plan(plan), undefined));
    const [reason] = await loadAddon().pixelsDecode(image.rgb, null, record, out);
    if (reason) throw new Error(`not rendered: ${reason}`);
    return out;
  }

  /** Every row of a strip: our argument for its magnitude and sign, and the pixels. */
  async strip(name: string, { source, file, rows }: AugmentFile['randaugment'][string][number]): Promise<Check[]> {
    const image = this.#source(source);
    const strip = this.#png(file).rgb;
    const size = image.rgb.length;
    const checks = [same('rows of the strip', strip.length, rows.length * size)];
    for (const [i, row] of rows.entries()) {
      const what = `row ${i} ${JSON.stringify({ ...row, sha256: undefined })}`;
      checks.push(...argumentChecks(what, name, row));
      const op = operation(name, row.argument, row.interpolation, image);
      checks.push(...pixelChecks(what, await this.#adjusted(image, { ops: [op] }), strip.subarray(i * size, (i + 1) * size), row.sha256));
    }
    return checks;
  }

  async crop({ image, top, left, height, width, size, interpolation, file, sha256: hash }: AugmentFile['crop_resize'][number]) {
    const geometry = { kind: 'resized_crop', top, left, height, width, interpolation } as const;
    const actual = await this.#rendered(encoded(this.context.images.find(image)), size, { geometry });
    return pixelChecks('pixels', actual, this.#png(file).rgb, hash);
  }

  /** Planned as an evaluation plans it. */
  async evaluation(one: AugmentFile['evaluation'][number]): Promise<Check[]> {
    const bytes = this.context.images.find(one.image);
    const { width, height } = readHeader(bytes);
    const violations = new Violations();
    const transform = resolveTransform({ inputSize: one.input_size, training: false, cropPct: one.crop_pct ?? undefined }, violations);
    violations.throwIfAny();
    const { geometry } = planSample(transform, sampleKeys(0n), { epoch: 0, position: 0, attempt: 0 }, width, height).render;
    const resized =
      geometry.kind === 'resize_center_crop' ? [geometry.resizeWidth, geometry.resizeHeight] : [one.input_size, one.input_size];
    const actual = await this.#rendered(encoded(bytes), one.input_size, { geometry });
    return [
      same('size before the crop', resized, one.resized_width_height),
      ...pixelChecks('pixels', actual, this.#png(one.file).rgb, one.sha256),
    ];
  }

  async jitter({ source, steps, file, sha256: hash }: AugmentFile['color_jitter'][number]): Promise<Check[]> {
    const names: Record<string, PixelOpName> = { brightness: 'Brightness', contrast: 'Contrast', saturation: 'Color' };
    const ops = steps.map(([name, argument]): PixelOp => {
      if (names[name] === undefined) throw new Error(`no colour jitter of ${name}`);
      return { op: names[name], argument };
    });
    return pixelChecks('pixels', await this.#adjusted(this.#source(source), { ops }), this.#png(file).rgb, hash);
  }

  async flipAndPad({ source, flip_sha256, tile_left_top_right_bottom: tile, pad4_crops }: AugmentFile['flip_and_pad'][number]) {
    const image = this.#source(source);
    const checks = [same('flip', sha256(await this.#adjusted(image, { flip: true })), flip_sha256)];
    const [left, top, right, bottom] = tile;
    const side = right - left;
    if (bottom - top !== side) throw new Error(`the tile ${tile} is not a square`);
    const rgb = new Uint8Array(3 * side * side);
    for (let y = 0; y < side; y++) {
      const at = 3 * ((top + y) * image.width + left);
      rgb.set(image.rgb.subarray(at, at + 3 * side), 3 * y * side);
    }
    for (const crop of pad4_crops) {
      const geometry = { kind: 'padded_crop', padding: PADDING, top: crop.top, left: crop.left } as const;
      const actual = await this.#rendered(raw({ rgb, width: side, height: side }), side, { geometry });
      checks.push(same(`padded crop at ${crop.top}, ${crop.left}`, sha256(actual), crop.sha256));
    }
    return checks;
  }

  /** Crop, flip and two operations from their magnitudes; then normalised, with a rectangle set to 0. */
  async pipeline(one: AugmentFile['pipeline'][number]): Promise<Check[]> {
    const { top, left, height, width, size } = one;
    const plan = this.#plan({
      geometry: { kind: 'resized_crop', top, left, height, width, interpolation: 'bicubic' },
      flip: one.flip,
      ops: one.ops_magnitude_sign.map(([name, magnitude, sign]) => planned(name, magnitude, sign, size, 'bicubic')),
    });
    const planes = new Uint8Array(3 * size * size);
    const [outcome] = await renderBatch([{ source: encoded(this.context.images.find(one.image)), plan }], size, planes);
    if (!outcome?.ok) throw new Error(`not rendered: ${outcome?.reason}`);
    const [eraseTop, eraseLeft, eraseHeight, eraseWidth] = one.erase_top_left_height_width;
    const box = { top: eraseTop, left: eraseLeft, height: eraseHeight, width: eraseWidth, mode: 'const', key: [0, 0], box: 0 } as const;
    const { mean, std } = normalisation(resolveTransform({ inputSize: size, training: true }, new Violations()));
    const samples = [{ erase: [{ ...box, key: [0, 0] as [number, number] }], mix: { lambda: 1, partner: 0, box: null } }];
    const out = new Float32Array(planes.length);
    await finishBatch(planes, 1, size, { mean: [...mean], std: [...std], samples }, out);
    const sums = [0, 1, 2].map((c) => out.subarray(c * size * size, (c + 1) * size * size).reduce((total, value) => total + value, 0));
    return [
      ...pixelChecks('pixels', interleaved(planes), this.#png(one.file).rgb, one.sha256),
      largestDifference(
        'tensor',
        one.tensor_at.map((at) => out[at]!),
        one.tensor_values.map(Math.fround),
        0,
      ),
      // A sum of size² float32 values, each rounded at 2^-23 of at most 2.7.
      ...sums.map((sum, c) => absolute(`sum of channel ${c}`, sum, one.tensor_channel_sums[c]!, 3 * 2 ** -23 * size * size)),
    ];
  }

  async special({ file, expected, width, height, rgb_sha256 }: AugmentFile['jpeg_special'][number]): Promise<Check[]> {
    const bytes = new Uint8Array(this.context.folder.bytes(`augment/${file}`));
    const { rgb } = await decode({ format: 'jpeg', bytes, width, height });
    return [
      same('header', readHeader(bytes), { format: 'jpeg', width, height }),
      ...pixelChecks('pixels', rgb, this.#png(expected).rgb, rgb_sha256),
    ];
  }

  async photograph({ name, file_sha256, width, height, rgb_sha256, mean_rgb }: AugmentFile['jpeg_decode'][number]): Promise<Check[]> {
    const bytes = this.context.images.find(name);
    const decoded = await decode({ format: 'jpeg', bytes, width: 0, height: 0 });
    const means = [0, 0, 0];
    for (let i = 0; i < decoded.rgb.length; i++) means[i % 3]! += decoded.rgb[i]!;
    return [
      same('SHA-256 of the file', sha256(bytes), file_sha256),
      same('header', readHeader(bytes), { format: 'jpeg', width, height }),
      same('size', [decoded.width, decoded.height], [width, height]),
      same('SHA-256 of the pixels', sha256(decoded.rgb), rgb_sha256),
      ...means.map((sum, c) => absolute(`mean of channel ${c}`, sum / (width * height), mean_rgb[c]!, 1e-9)),
    ];
  }
}

/** Equal bytes: how far off the worst value is, and the hash. */
function pixelChecks(what: string, actual: Uint8Array, expected: Uint8Array, hash: string): Check[] {
  let count = 0;
  for (let i = 0; i < expected.length; i++) if (actual[i] !== expected[i]) count++;
  const most = largestDifference(what, actual, expected, 0);
  const values = { ...most, note: `${count} of ${expected.length} values differ; ${most.note}` };
  return [
    values,
    holds(`${what}: SHA-256 of the expected pixels`, sha256(expected) === hash),
    same(`${what}: SHA-256`, sha256(actual), hash),
  ];
}

const opName = (name: string): PixelOpName => {
  const op = name.replace(/Increasing$|Rel$/, '') as PixelOpName;
  if (!RAND_AUGMENT_OPS.includes(op)) throw new Error(`no operation ${name}`);
  return op;
};

/** timm's names to ours; arguments of the relative translations are fractions of the side. */
function operation(name: string, argument: number | null, interpolation: Interpolation | null, image: RgbImage): PixelOp {
  const op = opName(name);
  const side = op === 'TranslateX' ? image.width : op === 'TranslateY' ? image.height : 1;
  return { op, argument: (argument ?? 0) * side, ...(interpolation ? { interpolation } : {}) };
}

/** As RandAugment plans an operation at a magnitude. */
const planned = (name: string, magnitude: number, sign: 1 | -1, side: number, interpolation: Interpolation): PixelOp =>
  pixelOp(opName(name), magnitude, sign, name.endsWith('Increasing'), side, () => interpolation);

function argumentChecks(what: string, name: string, { magnitude, sign, argument, interpolation }: Row): Check[] {
  if (magnitude === null || argument === null) return [];
  const op = planned(name, magnitude, sign ?? 1, 1, interpolation ?? 'bilinear');
  return [absolute(`${what}: argument`, op.argument, argument, 1e-12)];
}

export const augment: ParitySource = {
  group: 'augment',
  file: /^augment\/augment\.json$/,
  companionOf: (file) => (file.startsWith('augment/') ? FILE : undefined),
  cases(file, context) {
    const checks = new PixelChecks(context);
    const golden = checks.file;
    const each = <T>(what: string, list: readonly T[] | undefined, nameOf: (one: T) => string, run: (one: T) => Promise<Check[]>) =>
      listed(file, what, list).map((one): ParityCase => ({ name: `augment/${what} ${nameOf(one)}`, run: () => run(one) }));
    const strips = Object.entries(golden.randaugment).flatMap(([name, list]) => list.map((strip) => ({ name, strip })));
    return [
      ...each(
        'randaugment',
        strips,
        ({ strip }) => strip.file,
        ({ name, strip }) => checks.strip(name, strip),
      ),
      ...each(
        'crop_resize',
        golden.crop_resize,
        (one) => one.file,
        (one) => checks.crop(one),
      ),
      ...each(
        'evaluation',
        golden.evaluation,
        (one) => one.file,
        (one) => checks.evaluation(one),
      ),
      ...each(
        'color_jitter',
        golden.color_jitter,
        (one) => one.file,
        (one) => checks.jitter(one),
      ),
      ...each(
        'flip_and_pad',
        golden.flip_and_pad,
        (one) => one.source,
        (one) => checks.flipAndPad(one),
      ),
      ...each(
        'pipeline',
        golden.pipeline,
        (one) => one.file,
        (one) => checks.pipeline(one),
      ),
      ...each(
        'jpeg_special',
        golden.jpeg_special,
        (one) => one.file,
        (one) => checks.special(one),
      ),
      ...each(
        'jpeg_decode',
        golden.jpeg_decode,
        (one) => one.name,
        (one) => checks.photograph(one),
      ),
    ];
  },
};
