/**
 * The thread of a device that fails, instead of libs/engine/webgpu/device-entry.ts. WEBGPU_FAULT is `KIND SUBMISSION FILE`: the fault happens with
 * that submission of work, in the first program that finds and removes the file.
 */
import { existsSync, rmSync } from 'node:fs';
import { openDevice } from '#engine/webgpu/device.js';
import { serveDevice } from '#engine/webgpu/device-worker.js';

const [kind = '', submission = '', file = ''] = (process.env.WEBGPU_FAULT ?? '').split(' ');

const faults: Record<string, (device: GPUDevice) => void> = {
  lost: (device) => device.destroy(),
  ended: () => process.exit(3),
  hangs: (device) => submitEndless(device),
};

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

/** An object of Dawn with some methods replaced; Dawn's own methods take only its own objects as `this`. */
function replaced<T extends object>(target: T, methods: Partial<Record<string, unknown>>): T {
  return new Proxy(target, {
    get: (_, name) => {
      if (typeof name === 'string' && name in methods) return methods[name];
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (_, name, value) => Reflect.set(target, name, value, target),
  });
}

await serveDevice(async (wanted) => {
  const open = await openDevice(wanted);
  let submitted = 0;
  const queue = replaced(open.device.queue, {
    submit: (buffers: GPUCommandBuffer[]) => {
      open.device.queue.submit(buffers);
      if (++submitted !== Number(submission) || !existsSync(file)) return;
      rmSync(file);
      faults[kind]?.(open.device);
    },
  });
  return { ...open, device: replaced(open.device, { queue }) };
});
