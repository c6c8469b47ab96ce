/** npm run test:fuzz: damaged files of every format through the readers, and the images in them through the C++ decoders under AddressSanitizer. */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { RenderPlan, RenderSource } from '#native/pixels/plan-types.js';
import { type PngLayout, readPngLayout } from '#native/pixels/png-scanlines.js';
import { type Answer, buildDecoders, Decoder, DecoderDied, type Frame } from './decoder.js';
import { type Damaged, FORMATS, type Format, openFormat } from './formats.js';
import { Damage } from './mutate.js';

const LONGEST_MS = 1000;
/** Files in work at a time. */
const AHEAD = 8;
const NO_OPERATIONS = { flip: false, ops: [], fill: [1, 2, 3] as [number, number, number] };

/** The image whole; a window of it, mirrored; as in evaluation. Where the size that the header says is not believed: whole only. */
function plansOf({ width, height }: RenderSource, damage: Damage): RenderPlan[] {
  const whole: RenderPlan = { ...NO_OPERATIONS, geometry: { kind: 'warp', interpolation: 'bilinear' } };
  if (width < 1 || height < 1) return [whole];
  const [left, top] = [damage.below(width), damage.below(height)];
  const window = { left, top, width: 1 + damage.below(width - left), height: 1 + damage.below(height - top) };
  return [
    whole,
    { ...NO_OPERATIONS, flip: true, geometry: { kind: 'resized_crop', ...window, interpolation: 'bicubic' } },
    {
      ...NO_OPERATIONS,
      geometry: { kind: 'resize_center_crop', resizeWidth: 32, resizeHeight: 28, top: 2, left: 4, interpolation: 'bicubic' },
    },
  ];
}

interface Outcome {
  readonly decoded: boolean;
  readonly reason: string;
  readonly milliseconds: number;
}

/** Errors of the program, not of the file. */
const unexpected = (error: unknown) =>
  !(error instanceof Error) ||
  error.message === '' ||
  ['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'AssertionError'].includes(error.name);

class Failure extends Error {}

/** In one of four images with a palette, entries are missing: the reader fills palettes up, but the decoder must not count on that. */
function shortened(layout: PngLayout, damage: Damage): PngLayout {
  if (layout.palette === null || !damage.chance(0.25)) return layout;
  return { ...layout, palette: layout.palette.subarray(0, 3 * (1 + damage.below(255))) };
}

async function framesOf(damaged: Damaged, damage: Damage, format: Format): Promise<Frame[]> {
  let sources: RenderSource[];
  try {
    sources = await damaged.images();
  } catch (error) {
    if (unexpected(error)) throw new Failure(`refused with ${error instanceof Error ? error.stack : String(error)}`);
    // The decoder must stand what indexing would have refused.
    if (format !== 'jpeg') throw error;
    sources = [{ format: 'jpeg', bytes: damaged.bytes, width: 0, height: 0 }];
  }
  return sources.flatMap((source) => {
    const layout = source.format === 'png' ? shortened(readPngLayout(source.bytes), damage) : undefined;
    return plansOf({ ...source, ...(layout && { width: layout.width, height: layout.height }) }, damage).map((plan) => ({
      source,
      plan,
      size: 24,
      ...(layout ? { layout } : {}),
    }));
  });
}

async function one(decoder: Decoder, damaged: Damaged, damage: Damage, format: Format): Promise<Outcome> {
  const began = process.cpuUsage();
  let answers: Answer[];
  try {
    const frames = await framesOf(damaged, damage, format);
    answers = await Promise.all(frames.map((frame) => decoder.decode(frame)));
  } catch (error) {
    if (error instanceof DecoderDied || error instanceof Failure) throw error;
    if (unexpected(error)) throw new Failure(`refused with ${error instanceof Error ? error.stack : String(error)}`);
    const { user, system } = process.cpuUsage(began);
    return { decoded: false, reason: (error as Error).message, milliseconds: (user + system) / 1000 / AHEAD };
  }
  const refused = answers.map((answer) => answer.refused);
  if (refused.includes('(no reason)')) throw new Failure('refused without a reason');
  return {
    decoded: refused.every((reason) => reason === ''),
    reason: refused.find((reason) => reason !== '') ?? '',
    milliseconds: Math.max(...answers.map((answer) => answer.milliseconds)),
  };
}

interface Tally {
  files: number;
  decoded: number;
  refused: number;
  longestMs: number;
  readonly reasons: Set<string>;
}

/** @throws Failure or DecoderDied with the file that it keeps */
async function fuzz(program: string, format: Format, files: number, seed: bigint): Promise<Tally> {
  const tally: Tally = { files: 0, decoded: 0, refused: 0, longestMs: 0, reasons: new Set() };
  const under = openFormat(format);
  const decoder = new Decoder(program);
  let next = 0;
  let report = '';
  // A data set's folder is one file's at a time.
  const lanes = format === 'jpeg' || format === 'png' ? AHEAD : 1;
  const lane = async (): Promise<void> => {
    for (let file = next++; file < files; file = next++) {
      const damage = new Damage(seed, FORMATS.indexOf(format) * 1_000_000 + file);
      const damaged = await under.damage(damage);
      try {
        const outcome = await one(decoder, damaged, damage, format);
        if (outcome.milliseconds > LONGEST_MS) throw new Failure(`took ${outcome.milliseconds} ms`);
        tally.files++;
        tally[outcome.decoded ? 'decoded' : 'refused']++;
        tally.longestMs = Math.max(tally.longestMs, outcome.milliseconds);
        if (!outcome.decoded) tally.reasons.add(outcome.reason.replace(/\d+/g, 'N').slice(0, 60));
      } catch (error) {
        const kept = join(tmpdir(), `dropstream-fuzz-${format}-${file}`);
        writeFileSync(kept, damaged.bytes);
        throw new Error(`${format} file ${file} of seed ${seed} (from ${damaged.name}, kept as ${kept}): ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: lanes }, lane));
  } finally {
    report = await decoder.close();
    under.close();
  }
  if (report !== '') throw new Error(`${format}: the sanitizer reports at the end:\n${report}`);
  return tally;
}

const usage = `npm run test:fuzz -- [--files N] [--seed N] [--format NAME]…

Sends damaged files of every format through the readers, and the images in them through the C++ decoders under AddressSanitizer. Nothing may crash or take a
second; each file is refused with a reason or decoded. Then decoders with a planted bug get the same, which must be found.

  --files N      in all, equally many of each format; default 10000
  --seed N       of the damage; default 1
  --format NAME  only this format: ${FORMATS.join(', ')}`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    files: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    format: { type: 'string', multiple: true },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const [files, seed] = [Number(values.files), BigInt(values.seed)];
const unknown = values.format?.find((name) => !(FORMATS as readonly string[]).includes(name));
if (unknown !== undefined) throw new RangeError(`--format: ${unknown} is not allowed; allowed: ${FORMATS.join(', ')}`);
const formats = FORMATS.filter((format) => values.format?.includes(format) ?? true);
if (!(files >= formats.length)) throw new RangeError(`--files: ${values.files} is not allowed; allowed: at least ${formats.length}`);
const began = performance.now();
const folder = await buildDecoders();
console.log(`decoders with AddressSanitizer in ${Math.round((performance.now() - began) / 1000)} s`);
for (const format of formats) {
  const from = performance.now();
  const { decoded, refused, longestMs, reasons } = await fuzz(
    join(folder, 'decode_frames'),
    format,
    Math.floor(files / formats.length),
    seed,
  );
  const seconds = Math.round((performance.now() - from) / 1000);
  console.log(
    `${format}: ${decoded} decoded, ${refused} refused for ${reasons.size} reasons, the longest ${Math.round(longestMs)} ms; ${seconds} s`,
  );
  if (refused === 0 || decoded === 0) throw new Error(`${format}: the damage is too small or too large to say anything`);
}
try {
  await fuzz(join(folder, 'decode_frames_planted'), 'png', 2000, seed);
} catch (error) {
  const { cause } = error as Error;
  if (!(cause instanceof DecoderDied) || !cause.report.includes('AddressSanitizer')) throw error;
  console.log(
    `the planted bug is found: ${/ERROR: (AddressSanitizer: [\w-]+)/.exec(cause.report)?.[1]} in ${/#\d+ \S+ in (?:\S+::)*(\w+)[^\n]*png/.exec(cause.report)?.[1] ?? 'the decoder'}`,
  );
  process.exit(0);
}
throw new Error('the planted bug is not found in 2000 files: this harness finds nothing');
