/** The most that a device can do, measured by shaders that do nothing else: multiply-adds in registers, and copies of several sizes. */
import { USAGE } from '#engine/webgpu/arena.js';
import { bindGroup, Pipelines, type Shader } from '#engine/webgpu/bindings.js';
import { CallClock } from '#engine/webgpu/call-times.js';
import { type OpenDevice, openDevice } from '#engine/webgpu/device.js';
import { settings } from '#engine/webgpu/settings.js';
import type { Peak } from './kernel-rows.js';
import { rounded } from './statistics.js';

const THREADS = 64;
const GROUPS = 4096;
/** vec4f that one thread keeps in registers. */
const CHAINS = 8;
const LEAST_SECONDS = 0.02;
const ROUNDS = 5;
/** Read and written together. */
const COPIED_BYTES = [1, 4, 16, 64, 256].map((mebibytes) => mebibytes << 20);

const chains = (of: (i: number) => string) => Array.from({ length: CHAINS }, (_, i) => of(i)).join('\n');

const multiplyAdds: Shader = {
  label: 'multiply-adds',
  bindings: [{ bound: 'out', access: 'read_write' }],
  code: `@group(0) @binding(0) var<uniform> rounds: vec4u;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = vec4f(1.0 - 1e-7 * f32(id.x));
  let b = vec4f(1e-7);
  ${chains((i) => `var v${i} = vec4f(${i}.0, 0.25, 0.5, f32(id.x));`)}
  for (var k = 0u; k < rounds.x; k++) { ${chains((i) => `v${i} = fma(v${i}, a, b);`)} }
  let v = ${Array.from({ length: CHAINS }, (_, i) => `v${i}`).join(' + ')};
  out[id.x] = v.x + v.y + v.z + v.w;
}
`,
};

const copy: Shader = {
  label: 'copy',
  bindings: [
    { bound: 'from', access: 'read' },
    { bound: 'into', access: 'read_write' },
  ],
  code: `@group(0) @binding(0) var<uniform> rounds: vec4u;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> copied: array<vec4f>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < arrayLength(&source); i += groups.x * ${THREADS}u) { copied[i] = source[i]; }
}
`,
};

export interface DevicePeaks {
  adapter: string;
  /** Whether the adapter computes on the CPU. */
  software: boolean;
  peaks: Peak[];
}

/** The device that DROPSTREAM_GPU names. @throws ExecutorUnavailable; RangeError if the device cannot tell the time */
export async function devicePeaks(): Promise<DevicePeaks> {
  const open = await openDevice(settings().wanted);
  try {
    if (!CallClock.works(open.device)) throw new RangeError(`${open.adapter.name} has no timestamps, so nothing can be measured on it`);
    const { name, software } = open.adapter;
    const bench = new Bench(open);
    const peaks: Peak[] = [{ peak: 'multiply-add', isa: name, type: 'fp32', gflops: rounded(await bench.gflops()) }];
    for (const bytes of COPIED_BYTES) {
      const rate = await bench.gigabytes(bytes);
      if (rate !== undefined) peaks.push({ peak: 'bandwidth', isa: name, bytes, gb_per_s: rounded(rate) });
    }
    return { adapter: name, software, peaks };
  } finally {
    open.close();
  }
}

class Bench {
  readonly #clock: CallClock;
  readonly #pipelines: Pipelines;
  readonly #uniform: GPUBuffer;

  constructor(private readonly open: OpenDevice) {
    this.#clock = new CallClock(open.device);
    this.#clock.record(true);
    this.#pipelines = new Pipelines(open.device);
    this.#uniform = open.device.createBuffer({ size: 256, usage: USAGE.UNIFORM | USAGE.COPY_DST });
  }

  /** Rounds are added until they take long enough to be measured. */
  async gflops(): Promise<number> {
    const out = this.#buffer(4 * THREADS * GROUPS);
    const flop = 2 * 4 * CHAINS * THREADS * GROUPS;
    let rounds = 16;
    for (;;) {
      const seconds = await this.#best(multiplyAdds, { out }, rounds, GROUPS);
      if (seconds >= LEAST_SECONDS || rounds >= 1 << 20) {
        out.destroy();
        return (rounds * flop) / seconds / 1e9;
      }
      rounds *= 4;
    }
  }

  /** Undefined if the device has no such buffers. */
  async gigabytes(bytes: number): Promise<number | undefined> {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.open.device.limits;
    if (bytes / 2 > Math.min(maxBufferSize, maxStorageBufferBindingSize)) return undefined;
    const [from, into] = [this.#buffer(bytes / 2), this.#buffer(bytes / 2)];
    const seconds = await this.#best(copy, { from, into }, 1, Math.min(GROUPS, bytes / 2 / 16 / THREADS));
    from.destroy();
    into.destroy();
    return bytes / seconds / 1e9;
  }

  async #best(shader: Shader, buffers: Record<string, GPUBuffer>, rounds: number, groups: number): Promise<number> {
    const { device } = this.open;
    const { pipeline, layout } = await this.#pipelines.of(shader);
    device.queue.writeBuffer(this.#uniform, 0, Uint32Array.of(rounds, 0, 0, 0));
    const uniform = { buffer: this.#uniform, offset: 0, size: 16 };
    const group = bindGroup(device, shader, layout, uniform, (bound) => {
      const buffer = buffers[bound]!;
      return { buffer, offset: 0, size: buffer.size };
    });
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      const times = this.#clock.submission()!;
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass(times.pass({ part: 'finish', samples: 0 }));
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group, [0]);
      pass.dispatchWorkgroups(groups);
      pass.end();
      times.resolve(encoder);
      device.queue.submit([encoder.finish()]);
      times.submitted();
      for (const { begin, end } of (await this.#clock.collect())?.times ?? []) best = Math.min(best, end - begin);
    }
    return best;
  }

  #buffer(size: number): GPUBuffer {
    return this.open.device.createBuffer({ size, usage: USAGE.STORAGE | USAGE.COPY_DST });
  }
}
