/**
 * The thread of a device that fails, instead of libs/engine/webgpu/device-entry.ts. WEBGPU_FAULT is `KIND WHERE COUNT FILE`. The fault happens in the
 * first thread that comes there so many times and finds the file, which it removes.
 */
import { existsSync, rmSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { openDevice } from '#engine/webgpu/device.js';
import { serveDevice } from '#engine/webgpu/device-worker.js';
import { FLAG_PARK, type Start } from '#engine/webgpu/messages.js';

const [kind = '', where = '', count = '', file = ''] = (process.env.WEBGPU_FAULT ?? '').split(' ');

const data = workerData as Start;

const kinds: Record<string, (device: GPUDevice) => void> = {
  // Goes on when the process exits, in a turn of the event loop in which the thread could be ended before Dawn answers.
  waits: () => {
    const end = performance.now() + 30_000;
    while (Atomics.load(data.flags, FLAG_PARK) === 0 && performance.now() < end) Atomics.wait(data.flags, FLAG_PARK, 0, 10);
  },
  lost: (device) => device.destroy(),
  ended: () => process.exit(3),
  hangs: (device) => submitEndless(device),
};

const times = new Map<string, number>();

/** Whether the fault is to happen here and now. */
function due(place: string): boolean {
  times.set(place, (times.get(place) ?? 0) + 1);
  if (place !== where || times.get(place) !== Number(count) || !existsSync(file)) return false;
  rmSync(file);
  return true;
}

/** A shader that never ends, on a device whose driver does not notice. */
function submitEndless(device: GPUDevice): void {
  const code = `@group(0) @binding(0) var<storage, read_write> data: array<u32>;
    @compute @workgroup_size(1) fn main() { loop { data[0] = data[0] * 3u + 1u; if (data[1] == 7u) { break; } } }`;
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const buffer = device.createBuffer({ size: 256, usage: 0x80 });
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(1);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

/** An object of Dawn with some members replaced; Dawn's own methods take only its own objects as `this`. */
function replaced<T extends object>(target: T, members: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get: (_, name) => {
      if (typeof name === 'string' && name in members) return members[name];
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (_, name, value) => Reflect.set(target, name, value, target),
  });
}

await serveDevice(async (wanted) => {
  // A driver that says nothing while the thread describes the adapter, or creates its program.
  if (due(data.spec === undefined ? 'describe' : 'create')) await new Promise(() => undefined);
  const open = await openDevice(wanted);
  const { device } = open;
  const queue = replaced(device.queue, {
    submit: (buffers: GPUCommandBuffer[]) => {
      device.queue.submit(buffers);
      if (due('submit')) kinds[kind]?.(device);
    },
    onSubmittedWorkDone: () => pending('work', () => device.queue.onSubmittedWorkDone())(),
  });
  const createBuffer = (descriptor: GPUBufferDescriptor): GPUBuffer => {
    const buffer = device.createBuffer(descriptor);
    const map = buffer.mapAsync.bind(buffer);
    buffer.mapAsync = (...args) => pending('map', map)(...args);
    if (descriptor.label === 'parameters to read' && due('read')) kinds[kind]?.(device);
    return buffer;
  };
  /** A call of Dawn whose promise is pending when the fault happens. */
  const pending = <T, A extends unknown[]>(place: string, call: (...args: A) => Promise<T>): ((...args: A) => Promise<T>) => {
    return (...args) => {
      const promise = call(...args);
      if (due(place)) kinds[kind]?.(device);
      return promise;
    };
  };
  const members = {
    queue,
    createBuffer,
    popErrorScope: pending('scope', () => device.popErrorScope()),
    createComputePipelineAsync: pending('pipeline', (descriptor: GPUComputePipelineDescriptor) =>
      device.createComputePipelineAsync(descriptor),
    ),
  };
  return { ...open, device: replaced(device, members) };
});
