/** The GPU as npm's `webgpu` (Dawn) gives it: choosing an adapter and opening a device. */
import { createRequire } from 'node:module';
import { ExecutorUnavailable } from '../executor.js';
import { missingForVulkan } from './missing-vulkan.js';

const DAWN_PACKAGE = 'webgpu';
/** The version that the kernels are tested with, as in package.json. */
export const DAWN_VERSION = '0.6.2';

/** Arithmetic in f16 in shaders, as WebGPU names it. */
export const F16_FEATURE = 'shader-f16';
/** What a device gets if its adapter has it. */
const FEATURES = ['timestamp-query', F16_FEATURE] as const;

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
  /** Destroys the device; the process can end afterwards. */
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
 * What `create` returned, held until the thread ends. Dawn lives only as long as something refers to it, and a turn of its events that is still due by
 * then would run on freed memory: when a process exits, calls stay pending for ever, and nothing else refers to what they wait for.
 */
const instances: GPU[] = [];

/**
 * Opens the GPU. `named` is a part of an adapter's name (DROPSTREAM_GPU); without it, the first real GPU is taken, and an adapter that computes on
 * the CPU is refused. @throws ExecutorUnavailable saying what is missing
 */
export async function openDevice(named: string | undefined): Promise<OpenDevice> {
  const { create, globals } = await loadDawn();
  Object.assign(globalThis, globals);
  const gpu = create(named === undefined ? [] : [`adapter=${named}`]);
  instances.push(gpu);
  const adapter = await requestAdapter(gpu, named);
  const description = describe(adapter);
  if (description.software && named === undefined) {
    throw unavailable(
      withMissing(
        `the only adapter is ${description.name}, which computes on the CPU; set DROPSTREAM_GPU to a part of its name to use it anyway`,
      ),
    );
  }
  const { limits } = adapter;
  const wanted: GPUDeviceDescriptor = {
    requiredFeatures: FEATURES.filter((feature) => description.features.includes(feature)),
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    },
  };
  const device = await adapter.requestDevice(wanted).catch((error: Error) => {
    throw unavailable(
      `${description.name} gives no device (${oneLine(error.message)}); another program may hold it, or its driver failed`,
      error,
    );
  });
  return { device, adapter: description, close: () => device.destroy() };
}

async function loadDawn(): Promise<Dawn> {
  const problem = problemOfVersion(dawnVersion());
  if (problem !== undefined) throw unavailable(problem);
  try {
    return (await import(DAWN_PACKAGE)) as Dawn;
  } catch (error) {
    throw unavailable(
      `the npm package webgpu does not load (${oneLine((error as Error).message)}); see docs/gpu.md for what it needs`,
      error,
    );
  }
}

async function requestAdapter(gpu: GPU, named: string | undefined): Promise<GPUAdapter> {
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    const said = oneLine((error as Error).message);
    throw unavailable(named === undefined ? withMissing(said) : `DROPSTREAM_GPU is ${JSON.stringify(named)}: ${said}`, error);
  }
  if (adapter !== null) return adapter;
  const which = named === undefined ? 'no GPU was found' : `no GPU with ${JSON.stringify(named)} in its name was found`;
  throw unavailable(withMissing(which));
}

/** With what is missing on this machine, as far as it can be seen. */
function withMissing(said: string): string {
  const missing = process.platform === 'linux' ? missingForVulkan() : undefined;
  return `${said}; ${missing ?? 'see docs/gpu.md for what it needs'}`;
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
    dawn: DAWN_VERSION,
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

/** Other versions may compile the shaders to other arithmetic, or not at all. */
export function problemOfVersion(version: string | undefined): string | undefined {
  if (version === DAWN_VERSION) return undefined;
  const found = version === undefined ? 'not installed' : `${version}, must be ${DAWN_VERSION}`;
  return `the npm package webgpu is ${found}; run: npm run setup:webgpu (in a project of your own: npm install webgpu@${DAWN_VERSION})`;
}

function dawnVersion(): string | undefined {
  try {
    return (createRequire(import.meta.url)(`${DAWN_PACKAGE}/package.json`) as { version: string }).version;
  } catch {
    return undefined;
  }
}
