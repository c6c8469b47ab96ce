/**
 * The update of a step on the device: sums of leaves, the gradient's norm, and the optimizer with the moving average, on all parameters in a few
 * dispatches. Formulas: fixtures' README §5, as in tfjs/optimizer.ts; every scalar is rounded to float32 once.
 */
import type { OptimizerScalars } from '../executable.js';
import type { UpdateKernel } from '../native/call-sizes.js';
import type { Arena, DeviceMemory } from './arena.js';
import { USAGE } from './arena.js';
import { bindGroup, type Pipeline, type Pipelines, type Shader } from './bindings.js';
import type { CallClock } from './call-times.js';

/** Parameters begin at multiples of this number of floats, so a block of them belongs to one parameter. */
const BLOCK = 64;
/** Blocks whose squares one workgroup sums. */
const NORM_BLOCKS = 64;
const SLOT_BYTES = 256;
const MOST_GROUPS = 65_535;
const KINDS = { adamw: 0, sgd: 1, momentum: 2 } as const;
const SKIPPED = 3;

const UPDATE = `struct Update {
  first_block: u32, // of the range that is bound
  blocks: u32,
  first_partial: u32,
  partials: u32, // of all ranges
  kind: u32, // 0 AdamW, 1 SGD with Nesterov momentum, 2 SGD with momentum, 3 none: the step is skipped
  keeps_average: u32,
  clip: f32, // with the division by the gradient's scale
  beta1: f32, rest1: f32, // 1 - beta1
  beta2: f32, rest2: f32,
  second_scale: f32, // 1 / sqrt(1 - beta2^t)
  eps: f32,
  momentum: f32,
  decay: f32, rest: f32, // of the moving average
}
@group(0) @binding(0) var<uniform> update: Update;
`;

const SUM = `var<workgroup> shared_sums: array<f32, 256>;
fn sum_of_workgroup(lane: u32, v: f32) -> f32 {
  shared_sums[lane] = v;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half >>= 1u) {
    if (lane < half) { shared_sums[lane] += shared_sums[lane + half]; }
    workgroupBarrier();
  }
  return shared_sums[0];
}
`;

type Bound = 'gradients' | 'other' | 'weights' | 'first_moment' | 'second_moment' | 'ema' | 'partials' | 'blocks' | 'ends' | 'scalars';

const readWrite = (bound: Bound) => ({ bound, access: 'read_write' as const });
const read = (bound: Bound) => ({ bound, access: 'read' as const });

const add: Shader<Bound> = {
  label: 'add_leaves',
  bindings: [readWrite('gradients'), read('other')],
  code: `${UPDATE}
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<storage, read> other: array<f32>;
@compute @workgroup_size(${BLOCK})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = group.y * groups.x + group.x;
  if (block >= update.blocks) { return; }
  sums[${BLOCK}u * block + lane] += other[${BLOCK}u * block + lane];
}
`,
};

const norm: Shader<Bound> = {
  label: 'gradient_norm',
  bindings: [read('gradients'), readWrite('partials'), read('blocks'), read('ends')],
  code: `${UPDATE}${SUM}
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<storage, read> blocks: array<u32>;
@group(0) @binding(4) var<storage, read> ends: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var k = 0u; k < ${(NORM_BLOCKS * BLOCK) / 256}u; k++) {
    let i = group.x * ${NORM_BLOCKS * BLOCK}u + 256u * k + lane;
    if (i >= update.blocks * ${BLOCK}u) { break; }
    // What is behind the end of a parameter is undefined.
    let all = update.first_block * ${BLOCK}u + i;
    if (all < ends[blocks[all / ${BLOCK}u]]) { sum += gradients[i] * gradients[i]; }
  }
  let total = sum_of_workgroup(lane, sum);
  if (lane == 0u) { partials[update.first_partial + group.x] = total; }
}
`,
};

const total: Shader<Bound> = {
  label: 'gradient_norm_total',
  bindings: [readWrite('partials')],
  code: `${UPDATE}${SUM}
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < update.partials; i += 256u) { sum += partials[i]; }
  let total = sum_of_workgroup(lane, sum);
  if (lane == 0u) { partials[update.partials] = total; }
}
`,
};

const optimize: Shader<Bound> = {
  label: 'optimizer',
  bindings: [
    ...[readWrite('weights'), read('gradients'), readWrite('first_moment'), readWrite('second_moment'), readWrite('ema')],
    ...[read('blocks'), read('scalars')],
  ],
  code: `${UPDATE}
@group(0) @binding(1) var<storage, read_write> weights: array<f32>;
@group(0) @binding(2) var<storage, read> gradients: array<f32>;
@group(0) @binding(3) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<f32>;
@group(0) @binding(5) var<storage, read_write> ema: array<f32>;
@group(0) @binding(6) var<storage, read> blocks: array<u32>;
@group(0) @binding(7) var<storage, read> scalars: array<vec2f>;
@compute @workgroup_size(${BLOCK})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = group.y * groups.x + group.x;
  if (block >= update.blocks) { return; }
  let i = ${BLOCK}u * block + lane;
  let rates = scalars[blocks[update.first_block + block]];
  let g = gradients[i] * update.clip;
  var w = weights[i];
  if (update.kind == 0u) {
    // rates: learning rate / (1 - beta1^t), and 1 - learning rate * weight decay
    let m = first_moment[i] * update.beta1 + g * update.rest1;
    let v = second_moment[i] * update.beta2 + g * g * update.rest2;
    first_moment[i] = m;
    second_moment[i] = v;
    w = w * rates.y - rates.x * (m / (sqrt(v) * update.second_scale + update.eps));
  } else if (update.kind < 3u) {
    // rates: learning rate, weight decay
    let decayed = g + rates.y * w;
    let m = first_moment[i] * update.momentum + decayed;
    first_moment[i] = m;
    w = w - rates.x * select(m, decayed + m * update.momentum, update.kind == 1u);
  }
  weights[i] = w;
  if (update.keeps_average == 1u) { ema[i] = ema[i] * update.decay + w * update.rest; }
}
`,
};

/** Their code, which is part of what a program computes. */
export const updateShaders: readonly string[] = [add, norm, total, optimize].map(({ code }) => code);

/** A part of all parameters that one binding can hold. */
interface Range {
  firstBlock: number;
  blocks: number;
  firstPartial: number;
  partials: number;
}

export class Optimizer {
  readonly #ranges: Range[];
  readonly #partials: number;
  readonly #words: ArrayBuffer;

  static async create(device: GPUDevice, memory: DeviceMemory, pipelines: Pipelines, arena: Arena, clock?: CallClock): Promise<Optimizer> {
    const { floats, sizes, offsets } = arena.places;
    const ranges = rangesOf(floats / BLOCK, Math.floor(device.limits.maxStorageBufferBindingSize / (4 * BLOCK)));
    const partials = ranges.reduce((sum, range) => sum + range.partials, 0);
    const buffers = {
      blocks: await memory.allocate('parameter blocks', (4 * floats) / BLOCK),
      ends: await memory.allocate('parameter ends', 4 * sizes.length),
      scalars: await memory.allocate('optimizer scalars', 8 * sizes.length),
      partials: await memory.allocate('norm sums', 4 * (partials + 1)),
      uniforms: await memory.allocate('optimizer uniforms', SLOT_BYTES * ranges.length, USAGE.UNIFORM | USAGE.COPY_DST),
    };
    const blocks = new Uint32Array(floats / BLOCK);
    sizes.forEach(
      (size, index) => void blocks.fill(index, offsets[index]! / BLOCK, (offsets[index]! + Math.ceil(size / BLOCK) * BLOCK) / BLOCK),
    );
    device.queue.writeBuffer(buffers.blocks, 0, blocks);
    device.queue.writeBuffer(
      buffers.ends,
      0,
      Uint32Array.from(sizes, (size, index) => offsets[index]! + size),
    );
    const made = await Promise.all([add, norm, total, optimize].map((shader) => pipelines.of(shader)));
    return new Optimizer(device, arena, buffers, made as [Pipeline, Pipeline, Pipeline, Pipeline], ranges, partials, clock);
  }

  private constructor(
    private readonly device: GPUDevice,
    private readonly arena: Arena,
    private readonly buffers: Record<'blocks' | 'ends' | 'scalars' | 'partials' | 'uniforms', GPUBuffer>,
    private readonly pipelines: readonly [Pipeline, Pipeline, Pipeline, Pipeline],
    ranges: Range[],
    partials: number,
    private readonly clock: CallClock | undefined,
  ) {
    this.#ranges = ranges;
    this.#partials = partials;
    this.#words = new ArrayBuffer(SLOT_BYTES * ranges.length);
    this.#write();
  }

  /** sums += other, for two buffers of the size of a gradient. */
  add(sums: GPUBuffer, other: GPUBuffer): void {
    this.#submit('add_leaves', (pass) => this.#over(pass, add, this.pipelines[0], { gradients: sums, other }));
  }

  /** Encodes the norm's square; it is in the last float of what the callback returns. */
  norm(): { buffer: GPUBuffer; offset: number } {
    this.#submit('gradient_norm', (pass) => {
      const { gradients } = this.arena.state;
      for (const [index, range] of this.#ranges.entries()) {
        this.#set(pass, norm, this.pipelines[1], { gradients }, index);
        pass.dispatchWorkgroups(range.partials);
      }
      this.#set(pass, total, this.pipelines[2], {}, 0);
      pass.dispatchWorkgroups(1);
    });
    return { buffer: this.buffers.partials, offset: 4 * this.#partials };
  }

  /** Clips by the norm, and changes weights, moments and moving average; a skipped step only changes the moving average. */
  optimize(gradNorm: number, scalars: OptimizerScalars, skipped: boolean): void {
    const { kind, beta1, step, clip, learningRate, weightDecay, gradientScale = 1 } = scalars;
    const rates = new Float32Array(2 * learningRate.length);
    for (const [k, rate] of learningRate.entries()) {
      const decay = weightDecay[k]!;
      rates.set(kind === 'adamw' ? [rate / (1 - beta1 ** step), 1 - rate * decay] : [rate, decay], 2 * k);
    }
    this.device.queue.writeBuffer(this.buffers.scalars, 0, rates);
    const clipped = clip > 0 ? Math.min(1, clip / (gradNorm + 1e-6)) : 1;
    this.#write(scalars, clipped / gradientScale, skipped);
    this.#submit('optimizer', (pass) => this.#over(pass, optimize, this.pipelines[3], this.arena.state));
  }

  /** Writes the uniforms of every range. */
  #write(scalars?: OptimizerScalars, clip = 1, skipped = false): void {
    const { kind = 'adamw', beta1 = 0, beta2 = 0, step = 1, eps = 0, momentum = 0, emaDecay = -1 } = scalars ?? {};
    for (const [index, { firstBlock, blocks, firstPartial }] of this.#ranges.entries()) {
      const at = index * SLOT_BYTES;
      new Uint32Array(this.#words, at, 6).set([
        firstBlock,
        blocks,
        firstPartial,
        this.#partials,
        skipped ? SKIPPED : KINDS[kind],
        emaDecay < 0 ? 0 : 1,
      ]);
      const second = 1 / Math.sqrt(1 - beta2 ** step);
      new Float32Array(this.#words, at + 24, 10).set([
        clip,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        second,
        eps,
        momentum,
        emaDecay,
        1 - emaDecay,
      ]);
    }
    this.device.queue.writeBuffer(this.buffers.uniforms, 0, this.#words);
  }

  #over(pass: GPUComputePassEncoder, shader: Shader<Bound>, pipeline: Pipeline, buffers: Partial<Record<Bound, GPUBuffer>>): void {
    for (const [index, { blocks }] of this.#ranges.entries()) {
      this.#set(pass, shader, pipeline, buffers, index);
      const x = Math.min(blocks, MOST_GROUPS);
      pass.dispatchWorkgroups(x, Math.ceil(blocks / x));
    }
  }

  /** Sets the pipeline and its bindings to a range of the buffers that are as large as all parameters. */
  #set(
    pass: GPUComputePassEncoder,
    shader: Shader<Bound>,
    { pipeline, layout }: Pipeline,
    large: Partial<Record<Bound, GPUBuffer>>,
    index: number,
  ): void {
    const { firstBlock, blocks } = this.#ranges[index]!;
    const { uniforms, ...small } = this.buffers;
    const group = bindGroup(this.device, shader, layout, { buffer: uniforms, offset: 0, size: 64 }, (bound) => {
      const buffer = large[bound];
      if (buffer !== undefined) return { buffer, offset: 4 * BLOCK * firstBlock, size: 4 * BLOCK * blocks };
      const one = small[bound as keyof typeof small];
      return { buffer: one, offset: 0, size: one.size };
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group, [index * SLOT_BYTES]);
  }

  #submit(kernel: UpdateKernel, encode: (pass: GPUComputePassEncoder) => void): void {
    const times = this.clock?.submission();
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass(times?.pass({ part: 'update', kernel }));
    encode(pass);
    pass.end();
    times?.resolve(encoder);
    this.device.queue.submit([encoder.finish()]);
    times?.submitted();
  }
}

function rangesOf(blocks: number, most: number): Range[] {
  const whole = most - (most % NORM_BLOCKS);
  const ranges: Range[] = [];
  let firstPartial = 0;
  for (let firstBlock = 0; firstBlock < blocks; firstBlock += whole) {
    const count = Math.min(whole, blocks - firstBlock);
    const partials = Math.ceil(count / NORM_BLOCKS);
    ranges.push({ firstBlock, blocks: count, firstPartial, partials });
    firstPartial += partials;
  }
  return ranges;
}
