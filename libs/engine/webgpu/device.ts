/** The GPU as npm's `webgpu` (Dawn) gives it: choosing an adapter and opening a device. */
import { createRequire } from 'node:module';
import { ExecutorUnavailable } from '../executor.js';

/** The version that the kernels are tested with. */
const DAWN_PACKAGE = 'webgpu';

export interface AdapterDescription {
  /** As Vulkan, Metal or Direct3D names it, e.g. "NVIDIA RTX A4000" or "llvmpipe (LLVM 15.0.6, 256 bits)". */
  name: string;
  vendor: string;
  /** The driver and its version as one line of text. */
  driver: string;
  /** Version of the npm package, which stands for that of Dawn. */
  dawn: string;
  /** Computes on the CPU. */
  software: boolean;
  features: string[];
  limits: { bufferBytes: number; bindingBytes: number; storageBuffers: number; workgroupBytes: number; workgroupThreads: number };
}

export interface OpenDevice {
  device: GPUDevice;
  adapter: AdapterDescription;
  /** Lets go of Dawn; the process can end afterwards. */
  close(): void;
}

/** What the package exports; it may not be installed, so its own types may be missing. */
interface Dawn {
  create(options: string[]): GPU;
  globals: object;
}

/** Newer than the types of @webgpu/types that TensorFlow.js brings. */
interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallbackAdapter?: boolean;
}

const unavailable = (reason: string, cause?: unknown) => new ExecutorUnavailable('webgpu', reason, { cause });

/**
 * Opens the GPU. `wanted` is a part of an adapter's name (DROPSTREAM_GPU); without it, the first real GPU is taken, and an adapter that computes on
 * the CPU is refused. @throws ExecutorUnavailable saying what is missing
 */
export async function openDevice(wanted = process.env.DROPSTREAM_GPU): Promise<OpenDevice> {
  const { create, globals } = await loadDawn();
  Object.assign(globalThis, globals);
  const named = wanted === undefined || wanted === '' ? undefined : wanted;
  const gpu = create(named === undefined ? [] : [`adapter=${named}`]);
  const adapter = await requestAdapter(gpu, named);
  const description = describe(adapter);
  if (description.software && named === undefined) {
    throw unavailable(
      `the only adapter is ${description.name}, which computes on the CPU; set DROPSTREAM_GPU to a part of its name to use it anyway`,
    );
  }
  const { limits } = adapter;
  const device = await adapter.requestDevice({
    requiredFeatures: description.features.includes('timestamp-query') ? ['timestamp-query'] : [],
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    },
  });
  // Dawn lives as long as something refers to what `create` returned.
  let held: GPU | undefined = gpu;
  return {
    device,
    adapter: description,
    close: () => {
      if (held !== undefined) device.destroy();
      held = undefined;
    },
  };
}

async function loadDawn(): Promise<Dawn> {
  try {
    return (await import(DAWN_PACKAGE)) as Dawn;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_MODULE_NOT_FOUND') throw unavailable('the npm package webgpu is not installed; run: npm run setup:webgpu', error);
    throw unavailable(`the npm package webgpu does not load (${message.split('\n')[0]})`, error);
  }
}

async function requestAdapter(gpu: GPU, named: string | undefined): Promise<GPUAdapter> {
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    const said = oneLine((error as Error).message);
    throw unavailable(named === undefined ? said : `DROPSTREAM_GPU is ${JSON.stringify(named)}: ${said}`, error);
  }
  if (adapter !== null) return adapter;
  const which = named === undefined ? 'no GPU was found' : `no GPU with ${JSON.stringify(named)} in its name was found`;
  throw unavailable(`${which}; on Linux this needs libvulkan.so.1 and the Vulkan driver of the GPU (docs/gpu.md)`);
}

const oneLine = (text: string) => text.trim().replace(/\s*\n\s*/g, ' ');

function describe(adapter: GPUAdapter): AdapterDescription {
  const { info } = adapter as GPUAdapter & { info: AdapterInfo };
  const name = info.device || info.description || info.vendor;
  const { limits } = adapter;
  return {
    name,
    vendor: info.vendor,
    driver: info.description,
    dawn: dawnVersion(),
    software: info.isFallbackAdapter === true || /llvmpipe|lavapipe|swiftshader|basic render/i.test(`${name} ${info.description}`),
    features: [...(adapter.features as unknown as Iterable<string>)].sort(),
    limits: {
      bufferBytes: limits.maxBufferSize,
      bindingBytes: limits.maxStorageBufferBindingSize,
      storageBuffers: limits.maxStorageBuffersPerShaderStage,
      workgroupBytes: limits.maxComputeWorkgroupStorageSize,
      workgroupThreads: limits.maxComputeInvocationsPerWorkgroup,
    },
  };
}

function dawnVersion(): string {
  const { version } = createRequire(import.meta.url)(`${DAWN_PACKAGE}/package.json`) as { version: string };
  return version;
}
