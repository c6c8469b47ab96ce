/**
 * Decodes, augments and finishes images in the addon's own threads, at lower priority. There are as many threads as the cgroup has cores, or as
 * DROPSTREAM_THREADS says. This code executes plans and makes no decisions. The same plan and bytes give the same values on every machine and with
 * any number of threads. Typed arrays that are passed must not be changed or transferred until the promise settles.
 */
import { loadAddon, type PixelInfo } from './addon.js';
import { decodeInThread } from './pixels/foreign/decoder-threads.js';
import { isForeign } from './pixels/foreign/formats.js';
import { groupsWithin } from './pixels/groups-within.js';
import { MAX_IMAGE_AREA, MAX_IMAGE_SIDE, readHeader } from './pixels/image-header.js';
import { finishRecord, normalisationTables, renderRecord } from './pixels/plan-record.js';
import type { FinishPlan, RenderOutcome, RenderPlan, RenderSource } from './pixels/plan-types.js';
import { inflateScanlines, type PngLayout, readPngLayout } from './pixels/png-scanlines.js';

export type { PixelInfo } from './addon.js';
export { encodePng } from './pixels/encode-png.js';
export { formatOf, type ImageHeader, ImageHeaderError, MAX_IMAGE_AREA, readHeader } from './pixels/image-header.js';
export type {
  Box,
  EraseBox,
  FinishPlan,
  FinishSample,
  Geometry,
  Interpolation,
  MixStep,
  PixelOp,
  PixelOpName,
  RenderOutcome,
  RenderPlan,
  RenderSource,
} from './pixels/plan-types.js';

/**
 * Part of the plan digest, so that replicas of another version cannot serve the same run. Raise it when any pixel changes.
 * 2: WebP, GIF, BMP, TIFF and PPM, by the decoders of FOREIGN_DECODERS, and PNGs that end early or are damaged where Pillow does not look.
 */
export const PIXEL_SEMANTICS_VERSION = 2;

/** The exact versions that decode; a test compares them with the installed ones. Another version may give other pixels. */
export const FOREIGN_DECODERS: Readonly<Record<string, string>> = {
  '@cwasm/webp': '0.1.5',
  omggif: '1.0.10',
  utif2: '4.1.0',
};

const ALL_THREADS = 4096; // the addon uses at most as many threads as it has
const NO_PLAN: RenderPlan = { geometry: { kind: 'none' }, flip: false, ops: [], fill: [0, 0, 0] };
/** Largest number of inflated PNG bytes that one call holds at once. */
const PNG_BUDGET_BYTES = 256 * 2 ** 20;
const PNG_CONCURRENCY = 4;

/** An image that cannot be decoded. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  constructor(
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`image cannot be decoded: ${reason}`, options);
  }
}

/** Library, kernels and threads in use; for logs. */
export function pixelInfo(): PixelInfo {
  return loadAddon().pixelsInfo();
}

interface RenderJob {
  source: RenderSource;
  plan: RenderPlan;
}

/** A job in the form that the addon takes. `reason` is set if the job is already known to fail. */
interface PreparedJob {
  bytes: Uint8Array;
  palette: Uint8Array | null;
  record: number[];
  reason: string | undefined;
}

const EMPTY = new Uint8Array(0);
const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Checks that a PNG's declared size, if there is one, is its real size. */
function pngLayout(source: RenderSource): PngLayout {
  const layout = readPngLayout(source.bytes);
  if ((source.width !== 0 && source.width !== layout.width) || (source.height !== 0 && source.height !== layout.height)) {
    throw new DecodeError(`image is ${layout.width} x ${layout.height} pixels, declared ${source.width} x ${source.height}`);
  }
  return layout;
}

/** A file of a format beside JPEG and PNG as plain pixels; refused before it is decoded where it is too large or not of its declared size. */
async function decodedForeign(source: RenderSource): Promise<RenderSource> {
  const { format, width, height } = readHeader(source.bytes);
  if (!isForeign(format) || format !== source.format) throw new DecodeError(`it is no ${source.format}`);
  if (Math.max(width, height) > MAX_IMAGE_SIDE || width * height > MAX_IMAGE_AREA)
    throw new DecodeError(`image of ${width} x ${height} pixels: sides must be 1 to ${MAX_IMAGE_SIDE}, the area at most ${MAX_IMAGE_AREA}`);
  if ((source.width !== 0 && source.width !== width) || (source.height !== 0 && source.height !== height))
    throw new DecodeError(`image is ${width} x ${height} pixels, declared ${source.width} x ${source.height}`);
  try {
    return { format: 'rgb', bytes: (await decodeInThread(format, source.bytes)).rgb, width, height };
  } catch (error) {
    throw new DecodeError(`${format}: ${reasonOf(error)}`, { cause: error });
  }
}

function failedJob(reason: string): PreparedJob {
  const source: RenderSource = { format: 'rgb', bytes: EMPTY, width: 1, height: 1 };
  return { bytes: EMPTY, palette: null, record: renderRecord(source, NO_PLAN, undefined), reason };
}

async function prepareJob({ source, plan }: RenderJob, layout: PngLayout | string | undefined): Promise<PreparedJob> {
  if (typeof layout === 'string') return failedJob(layout);
  if (isForeign(source.format)) {
    try {
      const plain = await decodedForeign(source);
      return { bytes: plain.bytes, palette: null, record: renderRecord(plain, plan, undefined), reason: undefined };
    } catch (error) {
      if (error instanceof TypeError) throw error;
      return failedJob(reasonOf(error));
    }
  }
  if (!layout) return { bytes: source.bytes, palette: null, record: renderRecord(source, plan, undefined), reason: undefined };
  const record = renderRecord(source, plan, layout);
  try {
    return { bytes: await inflateScanlines(layout), palette: layout.palette, record, reason: undefined };
  } catch (error) {
    return failedJob(reasonOf(error));
  }
}

async function prepareJobs(jobs: readonly RenderJob[], layouts: readonly (PngLayout | string | undefined)[]): Promise<PreparedJob[]> {
  const prepared: PreparedJob[] = new Array(jobs.length);
  let next = 0;
  const lanes = Array.from(
    { length: layouts.some(Boolean) || jobs.some(({ source }) => isForeign(source.format)) ? PNG_CONCURRENCY : 1 },
    async () => {
      for (let i = next++; i < jobs.length; i = next++) prepared[i] = await prepareJob(jobs[i]!, layouts[i]);
    },
  );
  await Promise.all(lanes);
  return prepared;
}

/** Bytes of the plain pixels of a foreign file, by its header. */
function foreignBytes({ format, bytes }: RenderSource): number {
  if (!isForeign(format)) return 0;
  try {
    const { width, height } = readHeader(bytes);
    return Math.min(3 * width * height, 3 * MAX_IMAGE_AREA);
  } catch {
    return 0;
  }
}

export interface RenderOptions {
  /** Largest number of threads to use; the default, and the maximum, is the number of cores. */
  threads?: number;
  /** When it aborts, jobs that have not started are skipped. The promise is rejected with the signal's reason when the running jobs have ended. */
  signal?: AbortSignal;
}

/**
 * Renders each sample to out[i · 3 · size · size …]: planes R, G, B of uint8, rows of `size`. out.length = jobs · 3 · size². A bad image, or a plan
 * that does not fit it, does not throw: its outcome says why, and its slot is zeroed. Rejects with TypeError for a malformed plan or wrong lengths.
 */
export async function renderBatch(jobs: RenderJob[], size: number, out: Uint8Array, options: RenderOptions = {}): Promise<RenderOutcome[]> {
  const { threads = ALL_THREADS, signal } = options;
  signal?.throwIfAborted();
  if (out.length !== jobs.length * 3 * size * size) {
    throw new TypeError(`out of ${out.length} bytes: must hold ${jobs.length} x 3 x ${size} x ${size}`);
  }
  const layouts = jobs.map(({ source }) => {
    if (source.format !== 'png') return undefined;
    try {
      return pngLayout(source);
    } catch (error) {
      return reasonOf(error);
    }
  });
  const cancel = new Uint8Array(1);
  const onAbort = () => {
    cancel[0] = 1;
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const outcomes: RenderOutcome[] = [];
    const inflated = layouts.map((layout, i) => (typeof layout === 'object' ? layout.scanlineBytes : foreignBytes(jobs[i]!.source)));
    for (const [from, to] of groupsWithin(inflated, { maxBytes: PNG_BUDGET_BYTES })) {
      const prepared = await prepareJobs(jobs.slice(from, to), layouts.slice(from, to));
      signal?.throwIfAborted();
      const reasons = await loadAddon().pixelsRender(
        prepared.map(({ bytes }) => bytes),
        prepared.map(({ palette }) => palette),
        Float64Array.from(prepared.flatMap(({ record }) => record)),
        size,
        out.subarray(from * 3 * size * size, to * 3 * size * size),
        threads,
        cancel,
      );
      signal?.throwIfAborted();
      for (const [i, nativeReason] of reasons.entries()) {
        const reason = prepared[i]!.reason ?? nativeReason;
        outcomes.push(reason === null ? { ok: true } : { ok: false, reason });
      }
    }
    return outcomes;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Decodes the whole image to interleaved RGB rows. Throws DecodeError. */
export async function decode(source: RenderSource): Promise<{ width: number; height: number; rgb: Uint8Array }> {
  try {
    if (isForeign(source.format)) {
      const { width, height, bytes: rgb } = await decodedForeign(source);
      return { width, height, rgb };
    }
    const layout = source.format === 'png' ? pngLayout(source) : undefined;
    const { width, height } = layout ?? (source.format === 'jpeg' ? readHeader(source.bytes) : source);
    // Checked before allocating memory for a size that a header merely claims.
    if (!(width >= 1 && height >= 1 && width * height <= MAX_IMAGE_AREA)) throw new DecodeError(`image of ${width} x ${height} pixels`);
    const bytes = layout ? await inflateScanlines(layout) : source.bytes;
    const rgb = new Uint8Array(3 * width * height);
    const record = Float64Array.from(renderRecord(source, NO_PLAN, layout));
    const [reason] = await loadAddon().pixelsDecode(bytes, layout?.palette ?? null, record, rgb);
    if (reason) throw new DecodeError(reason);
    return { width, height, rgb };
  } catch (error) {
    if (error instanceof DecodeError || error instanceof TypeError) throw error;
    throw new DecodeError(reasonOf(error), { cause: error });
  }
}

/**
 * pixels [n, 3, size, size] uint8 → out [n, 3, size, size]: normalises by a table, erases and mixes, in float32. A Uint16Array receives bfloat16
 * (nearest, ties to even). plan.samples has one entry for each row. Rejects with TypeError if lengths, boxes or partners do not fit.
 */
export async function finishBatch(
  pixels: Uint8Array,
  n: number,
  size: number,
  plan: FinishPlan,
  out: Float32Array | Uint16Array,
  options: { threads?: number } = {},
): Promise<void> {
  if (plan.samples.length !== n) throw new TypeError(`plan of ${plan.samples.length} samples: must have ${n}`);
  const records = Float64Array.from(plan.samples.flatMap(finishRecord));
  const reasons = await loadAddon().pixelsFinish(pixels, n, size, normalisationTables(plan), records, out, options.threads ?? ALL_THREADS);
  const reason = reasons.find((outcome) => outcome !== null);
  if (reason) throw new Error(`finishing failed: ${reason}`);
}
