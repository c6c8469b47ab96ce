/**
 * A plain float64 machine for the programs that libs/engine/native/lower.ts makes: every kernel of libs/native/kernels.def in its
 * simplest form, over an arena laid out as planned. Slow, obvious, and independent of TensorFlow.js and of the addon. What a program stores as
 * bf16 or f16 is rounded to it, and so are the parameters that such a product reads; nothing else is.
 */

import type { MicroBatch, StepRandomness } from '#engine/executable.js';
import { dropsAt, keepsPath, siteMask } from '#engine/masks.js';
import type { HalfType, Instruction, Operand, ProgramSpec } from '#engine/native/program-spec.js';
import { float16ToFloat32, float32ToFloat16 } from '#interchange/half-floats.js';

interface Chunk {
  images: ArrayLike<number>;
  targets: ArrayLike<number>;
  /** Step positions of the samples of each domain; domain 0 first. */
  domains: number[][];
  /** Chunk positions of the same. */
  positions: number[][];
  random: StepRandomness | undefined;
  lossScale: number;
  /** Called with what a kernel rounds inside, before it goes on: see runFloat64. */
  stored: ((written: Float64Array) => void) | undefined;
}

export interface Float64Result {
  logits: Float64Array;
  losses: Float64Array;
  gradients: Float64Array[];
}

/**
 * Forward, and with `random` backward, over all micro-batches. Without `random`: as in evaluation. `stored`, if given, may change what each
 * kernel just wrote, and the sums that a fused GELU goes on from: rounding.ts does, to see what roundings do to the results.
 */
export function runFloat64(
  spec: ProgramSpec,
  parameters: readonly ArrayLike<number>[],
  micro: readonly MicroBatch[],
  random?: StepRandomness,
  lossScale = 1,
  stored?: (written: Float64Array) => void,
): Float64Result {
  const gradients = spec.parameters.map(({ size }) => new Float64Array(size));
  const half = spec.values.map(({ type = 'fp32' }) => type).find((type) => type !== 'fp32');
  const halves = half === undefined ? parameters : parameters.map((values) => Float64Array.from(values, nearest[half]));
  const [logits, losses]: [number[], number[]] = [[], []];
  for (const batch of micro) {
    const { images } = batch;
    if (!(images instanceof Float32Array)) throw new TypeError('images: this machine takes finished ones');
    for (let start = 0; start < batch.samples; start += spec.chunkSamples) {
      const n = Math.min(spec.chunkSamples, batch.samples - start);
      const all = Array.from({ length: n }, (_, i) => i);
      const first = batch.firstSample + start;
      const kept = Array.from({ length: spec.paths }, (_, path) => all.filter((i) => !random || keepsPath(random, path, first + i)));
      const positions = [all, ...kept];
      const chunk: Chunk = {
        images: images.subarray(start * spec.imageFloats, (start + n) * spec.imageFloats),
        targets: batch.targets.subarray(start * spec.classes, (start + n) * spec.classes),
        positions,
        domains: positions.map((list) => list.map((i) => first + i)),
        random,
        lossScale,
        stored,
      };
      const arena = new Float64Array(spec.arenaFloats * CELLS).fill(Number.NaN); // nothing may be read before it is written
      const run = (instruction: Instruction) => {
        execute(spec, instruction, arena, parameters, isHalfProduct(spec, instruction) ? halves : parameters, gradients, chunk);
        for (const output of instruction.outputs) {
          const type = halfOf(spec, output);
          if (type !== undefined) writtenBy(output).set(writtenBy(output).map(nearest[type]));
        }
        if (stored) for (const output of instruction.outputs) stored(writtenBy(output));
      };
      const writtenBy = (output: Operand) => {
        if ('grad' in output) return gradients[output.grad]!;
        if (!('value' in output)) throw new Error('cannot be written');
        const { offset, elementsPerSample } = spec.values[output.value]!;
        return arena.subarray(offset * CELLS, offset * CELLS + n * elementsPerSample);
      };
      for (const instruction of spec.forward) run(instruction);
      logits.push(...writtenBy({ value: spec.logits }));
      losses.push(...writtenBy({ value: spec.loss }));
      if (random) for (const instruction of spec.backward) run(instruction);
    }
  }
  return { logits: Float64Array.from(logits), losses: Float64Array.from(losses), gradients };
}

/** One kernel call outside a program, with arrays of the host. */
export interface SingleCall {
  kernel: Instruction['kernel'];
  attributes: Record<string, number>;
  /** Every input that is present, by its name in kernels.def, in the kernel's order. */
  inputs: Record<string, ArrayLike<number>>;
  /** Every output that is present, in the kernel's order: its number of elements, or what is in it before. */
  outputs: Record<string, number | ArrayLike<number>>;
  domain?: number;
  /** Positions in the chunk of the samples of every domain; those of domain 0 first. */
  positions: number[][];
  /** Position of the chunk's first sample within the step. */
  firstSample?: number;
  site?: number;
  random?: StepRandomness;
  lossScale?: number;
}

/** Returns every output. */
export function runKernelInFloat64(call: SingleCall): Record<string, Float64Array> {
  const { kernel, attributes, domain = 0, positions, firstSample = 0, site, random, lossScale = 1 } = call;
  const names = Object.keys(call.outputs);
  const outputs = Object.values(call.outputs).map((before) =>
    typeof before === 'number' ? new Float64Array(before) : Float64Array.from(before),
  );
  // Where operands are makes no difference to a kernel: all that it reads are parameters here, and all that it writes gradients.
  const instruction: Instruction = {
    kernel,
    domain,
    inputs: Object.keys(call.inputs).map((_, param) => ({ param })),
    outputs: names.map((_, grad) => ({ grad })),
    attributes,
    ...(site !== undefined && { site }),
  };
  const inputs = Object.values(call.inputs);
  const chunk: Chunk = {
    images: [],
    targets: [],
    positions,
    domains: positions.map((list) => list.map((i) => firstSample + i)),
    random,
    lossScale,
    stored: undefined,
  };
  execute({ values: [] as ProgramSpec['values'] } as ProgramSpec, instruction, new Float64Array(0), inputs, inputs, outputs, chunk);
  return Object.fromEntries(names.map((name, i) => [name, outputs[i]!]));
}

/** Cells of the arena for a float: two halves take one, an fp32 leaves the second empty. */
const CELLS = 2;

/** The type of a value that is a half. */
function halfOf(spec: ProgramSpec, operand: Operand | undefined): HalfType | undefined {
  if (operand === undefined || !('value' in operand)) return undefined;
  const { type = 'fp32' } = spec.values[operand.value] ?? {};
  return type === 'fp32' ? undefined : type;
}

/** A linear layer or its input gradient of halves: its weight is one too. Its bias is fp32. */
const isHalfProduct = (spec: ProgramSpec, { kernel, inputs }: Instruction): boolean =>
  (kernel === 'linear' || kernel === 'linear_input_grad') && halfOf(spec, inputs[0]) !== undefined;

const bits = new DataView(new ArrayBuffer(4));

/** The nearest bf16, ties to even, by way of fp32. */
export function bf16(value: number): number {
  bits.setFloat32(0, value);
  const whole = bits.getUint32(0);
  if (!Number.isFinite(value)) return value;
  bits.setUint32(0, (whole + 0x7fff + ((whole >>> 16) & 1)) & 0xffff0000);
  return bits.getFloat32(0);
}

/** The nearest f16, ties to even, by way of fp32. */
const f16 = (value: number): number => float16ToFloat32(float32ToFloat16(Float32Array.of(value)))[0]!;

/** Rounds to the nearest number of a type. */
export const nearest: Readonly<Record<HalfType, (value: number) => number>> = { bf16, f16 };

type Numbers = ArrayLike<number>;
type Out = Float64Array;

function execute(
  spec: ProgramSpec,
  { kernel, domain, inputs, outputs, attributes, site }: Instruction,
  arena: Float64Array,
  parameters: readonly Numbers[],
  /** Parameters as products read their weight. */
  weights: readonly Numbers[],
  gradients: Float64Array[],
  chunk: Chunk,
): void {
  const samples = chunk.domains[domain] ?? [];
  const n = samples.length;
  const place = (value: number) => arena.subarray(spec.values[value]!.offset * CELLS);
  const source = (operand: Operand, index: number): Numbers => {
    if ('value' in operand) return place(operand.value);
    if ('param' in operand) return (index === 1 ? weights : parameters)[operand.param]!;
    if ('input' in operand) return chunk[operand.input];
    throw new Error('a gradient cannot be read');
  };
  const target = (operand: Operand): Out => {
    if ('value' in operand) return place(operand.value);
    if ('grad' in operand) return gradients[operand.grad]!;
    throw new Error('cannot be written');
  };
  const [a, b, c, d, e] = inputs.map(source) as [Numbers, Numbers, Numbers, Numbers, Numbers];
  const [x, y, z] = outputs.map(target) as [Out, Out, Out];
  const at = (name: string): number => {
    const value = attributes[name];
    if (value === undefined) throw new Error(`${kernel}: attribute ${name} is missing`);
    return value;
  };
  const rows = () => n * at('rows');
  const mask = (elements: number): Float32Array => {
    const out = new Float32Array(n * elements).fill(1);
    const { random } = chunk;
    if (site !== undefined && random && dropsAt(random, site)) {
      samples.forEach((sample, i) => {
        siteMask(out.subarray(i * elements, (i + 1) * elements), random, site, sample);
      });
    }
    return out;
  };
  const pathScale = () => (at('scaled') ? 1 / (1 - (chunk.random?.pathRates[at('path')] ?? 0)) : 1);

  switch (kernel) {
    case 'patches': {
      const [channels, height, width, p] = [at('channels'), at('height'), at('width'), at('patch')];
      let to = 0;
      for (let s = 0; s < n; s++)
        for (let py = 0; py < height; py += p)
          for (let px = 0; px < width; px += p)
            for (let k = 0; k < channels; k++)
              for (let dy = 0; dy < p; dy++)
                for (let dx = 0; dx < p; dx++) x[to++] = a[((s * channels + k) * height + py + dy) * width + px + dx]!;
      return;
    }
    case 'linear': {
      const [k, m] = [at('in'), at('out')];
      for (let r = 0; r < rows(); r++)
        for (let j = 0; j < m; j++) {
          let sum = at('bias') ? c[j]! : 0;
          for (let i = 0; i < k; i++) sum += a[r * k + i]! * b[j * k + i]!;
          x[r * m + j] = sum;
        }
      if (!at('gelu')) return;
      chunk.stored?.(x.subarray(0, rows() * m));
      for (let i = 0; i < rows() * m; i++) {
        if (y) y[i] = geluSlope(x[i]!);
        x[i]! *= normalDistribution(x[i]!);
      }
      return;
    }
    case 'linear_input_grad': {
      const [k, m] = [at('in'), at('out')];
      for (let r = 0; r < rows(); r++)
        for (let i = 0; i < k; i++) {
          let sum = 0;
          for (let j = 0; j < m; j++) sum += a[r * m + j]! * b[j * k + i]!;
          x[r * k + i] = at('gelu') ? sum * c[r * k + i]! : sum;
        }
      return;
    }
    case 'linear_weight_grad': {
      const [k, m] = [at('in'), at('out')];
      for (let r = 0; r < rows(); r++)
        for (let j = 0; j < m; j++) {
          for (let i = 0; i < k; i++) x[j * k + i]! += b[r * m + j]! * a[r * k + i]!;
          if (y) y[j]! += b[r * m + j]!;
        }
      return;
    }
    case 'gelu':
      for (let i = 0; i < rows() * at('width'); i++) x[i] = a[i]! * normalDistribution(a[i]!);
      return;
    case 'multiply':
      for (let i = 0; i < rows() * at('width'); i++) x[i] = a[i]! * b[i]!;
      return;
    case 'gelu_grad':
      for (let i = 0; i < rows() * at('width'); i++) x[i] = b[i]! * geluSlope(a[i]!);
      return;
    case 'layer_norm': {
      const width = at('width');
      for (let r = 0; r < rows(); r++) {
        const row = Array.from({ length: width }, (_, i) => a[r * width + i]!);
        const mean = row.reduce((sum, v) => sum + v, 0) / width;
        const rstd = 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / width + at('eps'));
        [y[r], z[r]] = [mean, rstd];
        row.forEach((v, i) => {
          x[r * width + i] = (v - mean) * rstd * b[i]! + c[i]!;
        });
      }
      return;
    }
    case 'layer_norm_grad': {
      const width = at('width');
      for (let r = 0; r < rows(); r++) {
        const normalized = Array.from({ length: width }, (_, i) => (a[r * width + i]! - c[r]!) * d[r]!);
        const dy = normalized.map((_, i) => e[r * width + i]!);
        const g = dy.map((v, i) => v * b[i]!);
        const meanG = g.reduce((sum, v) => sum + v, 0) / width;
        const meanGN = g.reduce((sum, v, i) => sum + v * normalized[i]!, 0) / width;
        normalized.forEach((v, i) => {
          x[r * width + i] = d[r]! * (g[i]! - meanG - v * meanGN);
          y[i]! += dy[i]! * v;
          z[i]! += dy[i]!;
        });
      }
      return;
    }
    case 'attention':
    case 'attention_grad': {
      const [N, h, hd, scale] = [at('tokens'), at('heads'), at('head_dim'), at('scale')];
      const kept = mask(h * N * N);
      const qkv = (s: number, t: number, part: number, head: number, i: number) => ((s * N + t) * 3 + part) * h * hd + head * hd + i;
      const plain = (s: number, t: number, head: number, i: number) => (s * N + t) * h * hd + head * hd + i;
      const sum = (f: (i: number) => number) => {
        let total = 0;
        for (let i = 0; i < hd; i++) total += f(i);
        return total;
      };
      for (let s = 0; s < n; s++)
        for (let head = 0; head < h; head++) {
          const m = kept.subarray((s * h + head) * N * N);
          const scores = Array.from({ length: N * N }, (_, ij) => {
            const [i, j] = [Math.floor(ij / N), ij % N];
            return scale * sum((k) => a[qkv(s, i, 0, head, k)]! * a[qkv(s, j, 1, head, k)]!);
          });
          if (kernel === 'attention') {
            for (let i = 0; i < N; i++) {
              const row = scores.slice(i * N, (i + 1) * N);
              const top = Math.max(...row);
              const lse = top + Math.log(row.reduce((total, v) => total + Math.exp(v - top), 0));
              y[(s * h + head) * N + i] = lse;
              for (let k = 0; k < hd; k++) {
                x[plain(s, i, head, k)] = row.reduce((t, v, j) => t + Math.exp(v - lse) * m[i * N + j]! * a[qkv(s, j, 2, head, k)]!, 0);
              }
            }
            continue;
          }
          for (let t = 0; t < N; t++) for (let part = 0; part < 3; part++) for (let k = 0; k < hd; k++) x[qkv(s, t, part, head, k)] = 0;
          for (let i = 0; i < N; i++) {
            const delta = sum((k) => b[plain(s, i, head, k)]! * d[plain(s, i, head, k)]!);
            for (let j = 0; j < N; j++) {
              const p = Math.exp(scores[i * N + j]! - c[(s * h + head) * N + i]!);
              const drop = m[i * N + j]!;
              const g = drop * sum((k) => d[plain(s, i, head, k)]! * a[qkv(s, j, 2, head, k)]!);
              const ds = p * (g - delta) * scale;
              for (let k = 0; k < hd; k++) {
                x[qkv(s, i, 0, head, k)]! += ds * a[qkv(s, j, 1, head, k)]!;
                x[qkv(s, j, 1, head, k)]! += ds * a[qkv(s, i, 0, head, k)]!;
                x[qkv(s, j, 2, head, k)]! += p * drop * d[plain(s, i, head, k)]!;
              }
            }
          }
        }
      return;
    }
    case 'prepend_token':
    case 'prepend_token_grad': {
      const [N, width] = [at('tokens'), at('width')];
      for (let s = 0; s < n; s++)
        for (let i = 0; i < (N + 1) * width; i++) {
          const [long, short] = [s * (N + 1) * width + i, s * N * width + i - width];
          if (kernel === 'prepend_token') x[long] = i < width ? b[i]! : a[short]!;
          else if (i < width) y[i]! += a[long]!;
          else x[short] = a[long]!;
        }
      return;
    }
    case 'add_positions':
    case 'add_positions_grad': {
      const size = at('tokens') * at('width');
      for (let i = 0; i < n * size; i++) {
        if (kernel === 'add_positions') x[i] = a[i]! + b[i % size]!;
        else x[i % size]! += a[i]!;
      }
      return;
    }
    case 'dropout': {
      const elements = at('rows') * at('width');
      mask(elements).forEach((v, i) => {
        x[i] = a[i]! * v;
      });
      return;
    }
    case 'gather_kept': {
      const width = at('width');
      (chunk.positions[domain] ?? []).forEach((from, to) => {
        for (let i = 0; i < width; i++) x[to * width + i] = a[from * width + i]! * pathScale();
      });
      return;
    }
    case 'scatter_add_kept': {
      const width = at('width');
      for (let i = 0; i < n * width; i++) x[i] = a[i]!;
      (chunk.positions[at('path') + 1] ?? []).forEach((to, from) => {
        for (let i = 0; i < width; i++) x[to * width + i]! += b[from * width + i]! * pathScale();
      });
      return;
    }
    case 'cast':
      for (let i = 0; i < n * at('width'); i++) x[i] = a[i]!;
      return;
    case 'take_token':
    case 'take_token_grad':
    case 'mean_tokens':
    case 'mean_tokens_grad': {
      const [N, width] = [at('tokens'), at('width')];
      for (let s = 0; s < n; s++)
        for (let i = 0; i < width; i++) {
          if (kernel === 'mean_tokens') x[s * width + i] = 0;
          for (let t = 0; t < N; t++) {
            const [row, cell] = [s * width + i, (s * N + t) * width + i];
            if (kernel === 'take_token' && t === at('token')) x[row] = a[cell]!;
            if (kernel === 'take_token_grad') x[cell] = t === at('token') ? a[row]! : 0;
            if (kernel === 'mean_tokens') x[row]! += a[cell]! / N;
            if (kernel === 'mean_tokens_grad') x[cell] = a[row]! / N;
          }
        }
      return;
    }
    case 'transpose_tokens': {
      const [N, width] = [at('tokens'), at('width')];
      for (let s = 0; s < n; s++)
        for (let t = 0; t < N; t++) for (let i = 0; i < width; i++) x[(s * width + i) * N + t] = a[(s * N + t) * width + i]!;
      return;
    }
    case 'layer_scale':
      for (let i = 0; i < rows() * at('width'); i++) x[i] = a[i]! * b[i % at('width')]!;
      return;
    case 'layer_scale_grad':
      for (let i = 0; i < rows() * at('width'); i++) {
        x[i] = c[i]! * b[i % at('width')]!;
        y[i % at('width')]! += c[i]! * a[i]!;
      }
      return;
    case 'depthwise_conv':
    case 'depthwise_conv_input_grad':
    case 'depthwise_conv_weight_grad': {
      const [H, W, C, k] = [at('height'), at('width'), at('channels'), at('kernel')];
      const cell = (s: number, row: number, column: number, channel: number) => ((s * H + row) * W + column) * C + channel;
      if (kernel === 'depthwise_conv') for (let i = 0; i < n * H * W * C; i++) x[i] = c[i % C]!;
      if (kernel === 'depthwise_conv_input_grad') for (let i = 0; i < n * H * W * C; i++) x[i] = 0;
      if (kernel === 'depthwise_conv_weight_grad') for (let i = 0; i < n * H * W * C; i++) y[i % C]! += b[i]!;
      for (let s = 0; s < n; s++)
        for (let oy = 0; oy < H; oy++)
          for (let ox = 0; ox < W; ox++)
            for (let ky = 0; ky < k; ky++)
              for (let kx = 0; kx < k; kx++) {
                const [iy, ix] = [oy + ky - (k - 1) / 2, ox + kx - (k - 1) / 2];
                if (iy < 0 || iy >= H || ix < 0 || ix >= W) continue;
                for (let channel = 0; channel < C; channel++) {
                  const [to, from, tap] = [cell(s, oy, ox, channel), cell(s, iy, ix, channel), (channel * k + ky) * k + kx];
                  if (kernel === 'depthwise_conv') x[to]! += a[from]! * b[tap]!;
                  else if (kernel === 'depthwise_conv_input_grad') x[from]! += a[to]! * b[tap]!;
                  else x[tap]! += b[to]! * a[from]!;
                }
              }
      return;
    }
    case 'merge_patches':
    case 'merge_patches_grad': {
      const [H, W, C] = [at('height'), at('width'), at('channels')];
      for (let s = 0; s < n; s++)
        for (let row = 0; row < H; row++)
          for (let column = 0; column < W; column++)
            for (let channel = 0; channel < C; channel++) {
              const [dy, dx] = [row % 2, column % 2];
              const place = at('order') === 0 ? (channel * 2 + dy) * 2 + dx : (dx * 2 + dy) * C + channel;
              const cell = ((s * H + row) * W + column) * C + channel;
              const merged = ((s * (H / 2) + (row - dy) / 2) * (W / 2) + (column - dx) / 2) * 4 * C + place;
              if (kernel === 'merge_patches') x[merged] = a[cell]!;
              else x[cell] = a[merged]!;
            }
      return;
    }
    case 'window_attention':
    case 'window_attention_grad': {
      const [H, W, w, shift] = [at('height'), at('width'), at('window'), at('shift')];
      const [h, hd, scale] = [at('heads'), at('head_dim'), at('scale')];
      const [size, windows] = [w * w, (H / w) * (W / w)];
      const kept = mask(windows * h * size * size);
      // Every place of every window: its token, `shift` further down and right than in the rolled map, and its region of that map.
      const third = (p: number, side: number) => (shift === 0 || p < side - w ? 0 : p < side - shift ? 1 : 2);
      const places = Array.from({ length: windows * size }, (_, at) => {
        const [window, i] = [Math.floor(at / size), at % size];
        const row = Math.floor(window / (W / w)) * w + Math.floor(i / w);
        const column = (window % (W / w)) * w + (i % w);
        return { token: ((row + shift) % H) * W + ((column + shift) % W), region: 3 * third(row, H) + third(column, W) };
      });
      const qkv = (s: number, t: number, part: number, head: number) => ((s * H * W + t) * 3 + part) * h * hd + head * hd;
      const plain = (s: number, t: number, head: number) => (s * H * W + t) * h * hd + head * hd;
      const dot = (p: Numbers, from: number, q: Numbers, to: number) => {
        let total = 0;
        for (let k = 0; k < hd; k++) total += p[from + k]! * q[to + k]!;
        return total;
      };
      if (kernel === 'window_attention_grad') for (let i = 0; i < n * H * W * 3 * h * hd; i++) x[i] = 0;
      for (let s = 0; s < n; s++)
        for (let window = 0; window < windows; window++)
          for (let head = 0; head < h; head++) {
            const group = (s * windows + window) * h + head;
            const inside = places.slice(window * size, (window + 1) * size);
            for (const [i, { token: ti, region }] of inside.entries()) {
              const row = inside.map(({ token: tj, region: other }, j) => {
                const bias = (Math.floor(i / w) - Math.floor(j / w) + w - 1) * (2 * w - 1) + (i % w) - (j % w) + w - 1;
                const score = scale * dot(a, qkv(s, ti, 0, head), a, qkv(s, tj, 1, head));
                return { tj, bias: bias * h + head, score: score + b[bias * h + head]! + (region === other ? 0 : -100) };
              });
              const drop = kept.subarray((group * size + i) * size);
              if (kernel === 'window_attention') {
                const top = Math.max(...row.map(({ score }) => score));
                const lse = top + Math.log(row.reduce((total, { score }) => total + Math.exp(score - top), 0));
                y[group * size + i] = lse;
                for (let k = 0; k < hd; k++) {
                  x[plain(s, ti, head) + k] = row.reduce(
                    (total, { tj, score }, j) => total + Math.exp(score - lse) * drop[j]! * a[qkv(s, tj, 2, head) + k]!,
                    0,
                  );
                }
                continue;
              }
              const delta = dot(c, plain(s, ti, head), e, plain(s, ti, head));
              row.forEach(({ tj, bias, score }, j) => {
                const p = Math.exp(score - d[group * size + i]!);
                const ds = p * (drop[j]! * dot(e, plain(s, ti, head), a, qkv(s, tj, 2, head)) - delta);
                y[bias]! += ds;
                for (let k = 0; k < hd; k++) {
                  x[qkv(s, ti, 0, head) + k]! += ds * scale * a[qkv(s, tj, 1, head) + k]!;
                  x[qkv(s, tj, 1, head) + k]! += ds * scale * a[qkv(s, ti, 0, head) + k]!;
                  x[qkv(s, tj, 2, head) + k]! += p * drop[j]! * e[plain(s, ti, head) + k]!;
                }
              });
            }
          }
      return;
    }
    case 'add':
      for (let i = 0; i < rows() * at('width'); i++) x[i] = a[i]! + b[i]!;
      return;
    case 'softmax_cross_entropy': {
      const classes = at('classes');
      for (let s = 0; s < n; s++) {
        const row = Array.from({ length: classes }, (_, i) => a[s * classes + i]!);
        const t = row.map((_, i) => b[s * classes + i]!);
        const top = Math.max(...row);
        const lse = top + Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0));
        const total = t.reduce((sum, v) => sum + v, 0);
        x[s] = -row.reduce((sum, v, i) => sum + t[i]! * (v - lse), 0);
        row.forEach((v, i) => {
          if (y) y[s * classes + i] = (Math.exp(v - lse) * total - t[i]!) * chunk.lossScale;
        });
      }
      return;
    }
    default:
      throw new Error(`kernel ${kernel satisfies never} has no case`);
  }
}

function normalDistribution(x: number): number {
  return 0.5 * errorFunctionComplement(-x * Math.SQRT1_2);
}

function geluSlope(x: number): number {
  return normalDistribution(x) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
}

/** erfc by its Maclaurin series near 0 and its continued fraction beyond: about 1e-15. */
function errorFunctionComplement(x: number): number {
  if (Math.abs(x) > 2.5) {
    let fraction = 0;
    for (let k = 120; k >= 1; k--) fraction = k / 2 / (Math.abs(x) + fraction);
    const tail = Math.exp(-x * x) / (Math.sqrt(Math.PI) * (Math.abs(x) + fraction));
    return x > 0 ? tail : 2 - tail;
  }
  let [term, sum] = [x, x];
  for (let k = 1; k < 80; k++) {
    term *= (-x * x) / k;
    sum += term / (2 * k + 1);
  }
  return 1 - (2 / Math.sqrt(Math.PI)) * sum;
}
