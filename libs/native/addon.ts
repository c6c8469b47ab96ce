/**
 * The native addon and its exports. scripts/build-native.mjs puts it into libs/native/build/Release. It is found relative to this file, in the
 * sources (libs/native/addon.ts) or in the package (dist/libs/native/addon.js). Where npm ran no install scripts, it is that of the optional package for
 * this platform.
 *
 * The addon checks every field of an argument of type `object` and names wrong ones in its error; the types are declared by the callers.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** A compiled program; freed by programDispose, or when it is garbage-collected. */
export type ProgramHandle = object;

export interface EngineInfo {
  /**
   * Instruction-set path in use: 'amx' (like avx512_bf16, with bf16 products in tiles) | 'avx512_bf16' | 'avx512' | 'avx2' | 'neon_bf16' | 'neon' |
   * 'portable'.
   * DROPSTREAM_ISA forces one.
   */
  isa: string;
  available: string[];
  /** Number of threads in use: DROPSTREAM_THREADS, or else the cores of the cgroup. */
  threads: number;
  /** Identifies all sources and the compiler. */
  build: string;
  /** Identifies the sources that decide numbers; part of the numerics fingerprint. */
  numerics: string;
}

/** The contents of a recording (vm/profile.h). */
export interface RecordedSlices {
  /** [part, index, samples, begin, end] of every call. */
  slices: Float64Array;
  /** [thread, begin, end] of every job. */
  jobs: Float64Array;
  lost: number;
}

interface Samples {
  losses: Float32Array;
  logits: Float32Array;
}

type State = 'weights' | 'gradients' | 'first_moment' | 'second_moment' | 'ema';
interface Values {
  readonly parameter: number;
  readonly values: Float32Array;
}

/** Programs: libs/engine/native. The functions do what Executable documents (libs/engine/executable.ts). */
interface EngineExports {
  /** Throws Error for a wrong DROPSTREAM_ISA or DROPSTREAM_THREADS. */
  engineInfo(): EngineInfo;
  /** `spec`: ProgramSpec of libs/engine/native/program-spec.ts. */
  createProgram(spec: object): ProgramHandle;
  /** `leaf`: Leaf of libs/engine/executable.ts. */
  programAccumulate(handle: ProgramHandle, leaf: object): Promise<Samples & { forwardSeconds: number; backwardSeconds: number }>;
  /** `optimizer`: OptimizerScalars of libs/engine/executable.ts. */
  programUpdate(handle: ProgramHandle, optimizer?: object): Promise<{ gradNorm: number; seconds: number }>;
  /** `batch`: MicroBatch of libs/engine/executable.ts. */
  programEvaluate(handle: ProgramHandle, batch: object, state: 'weights' | 'ema'): Promise<Samples>;
  /** Cancelled calls reject with an Error whose code is ERR_CANCELLED. */
  programCancel(handle: ProgramHandle): void;
  programReadSubtree(handle: ProgramHandle, subtree: object, into: Float32Array): Promise<void>;
  programWriteSubtree(handle: ProgramHandle, subtree: object, leaves: number, from: Float32Array): Promise<void>;
  /** `initializers`: an Initializer of libs/nn/tensor.ts for every parameter. k0 and k1 are the two words of the key. */
  programInitialize(handle: ProgramHandle, initializers: readonly object[], k0: number, k1: number): Promise<void>;
  programRead(handle: ProgramHandle, state: State, into: readonly Values[]): Promise<void>;
  programWrite(handle: ProgramHandle, state: State, from: readonly Values[]): Promise<void>;
  programDispose(handle: ProgramHandle): void;
  programMemory(handle: ProgramHandle): number;
  programProfile(handle: ProgramHandle, calls: number): void;
  programTakeProfile(handle: ProgramHandle): RecordedSlices;
}

/** Reading files: libs/native/files.ts. */
interface FileExports {
  readFiles(paths: string[], sizes: Float64Array, folders: string[], memory: Uint8Array, cancel: Uint8Array): Promise<Float64Array>;
}

/** Memory: libs/native/memory.ts. */
interface MemoryExports {
  allocateMemory(bytes: number): ArrayBuffer;
}

export interface PixelInfo {
  /** 'libjpeg-turbo 2.1.3, with SIMD' */
  jpeg: string;
  /** The kernels in use: 'avx512', 'avx2', 'neon' or 'portable'. */
  path: string;
  threads: number;
}

/** Images: libs/native/pixels.ts. An outcome is null, or the reason why an image failed. */
interface PixelExports {
  pixelsInfo(): PixelInfo;
  pixelsRender(
    sources: Uint8Array[],
    palettes: (Uint8Array | null)[],
    records: Float64Array,
    size: number,
    out: Uint8Array,
    threads: number,
    cancel: Uint8Array,
  ): Promise<(string | null)[]>;
  pixelsDecode(source: Uint8Array, palette: Uint8Array | null, record: Float64Array, out: Uint8Array): Promise<(string | null)[]>;
  pixelsFinish(
    pixels: Uint8Array,
    n: number,
    size: number,
    tables: Float32Array,
    records: Float64Array,
    out: Float32Array | Uint16Array,
    threads: number,
  ): Promise<(string | null)[]>;
  pixelsMix(images: Uint8Array[], size: number, records: Float64Array, out: Uint8Array, threads: number): Promise<(string | null)[]>;
  // Parts of the library that only its tests use.
  pixelsNormalQuantile(p: Float64Array): Float64Array;
  pixelsNoise(k0: number, k1: number, box: number, sample: number, first: number, count: number): Float32Array;
  pixelsRotation(degrees: number): [number, number];
  pixelsDecodeWindow(file: Uint8Array, window: Int32Array, plain: 0 | 1, out: Uint8Array): Uint8Array | undefined;
}

export interface Addon extends EngineExports, FileExports, MemoryExports, PixelExports {}

/** The addon is missing or does not load. `path` is where it was looked for. */
export class AddonUnavailable extends Error {
  override readonly name = 'AddonUnavailable';
  constructor(
    readonly path: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`native addon ${path}: ${reason}; run \`npm run build\` in the package's folder (needs CMake and a C++17 compiler)`, options);
  }
}

/** Folder of the package, seen from here: the sources', and the compiled ones'. */
const ROOTS = ['../../', '../../../'];
const CANDIDATES = ['./build/Release/dropstream.node', '../../../libs/native/build/Release/dropstream.node'];
let loaded: Addon | undefined;

/**
 * The addon of the optional package for this platform, which has the version of this one. npm installs only packages whose C library this machine has, so
 * that at most one is found.
 */
function addonOfPlatform(): string | undefined {
  const require = createRequire(import.meta.url);
  const versionOf = (name: string): string | undefined => {
    try {
      return (require(name) as { version?: string }).version;
    } catch {
      return undefined;
    }
  };
  const own = ROOTS.map((root) => versionOf(fileURLToPath(new URL('package.json', new URL(root, import.meta.url))))).find(Boolean);
  const name = `@dropstream/native-${process.platform}-${process.arch}`;
  const fitting = [`${name}-gnu`, `${name}-musl`, name].find((each) => own !== undefined && versionOf(`${each}/package.json`) === own);
  return fitting && require.resolve(fitting);
}

/** The addon's exports, loaded once per thread. @throws AddonUnavailable */
export function loadAddon(): Addon {
  if (loaded) return loaded;
  const paths = CANDIDATES.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate)) ?? addonOfPlatform();
  if (!path) throw new AddonUnavailable(paths[0] as string, 'not built');
  try {
    loaded = createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new AddonUnavailable(path, `does not load (${(cause as Error).message})`, { cause });
  }
  return loaded;
}

/** Kernel path, threads and build of this process. @throws AddonUnavailable; Error for a wrong DROPSTREAM_ISA or DROPSTREAM_THREADS */
export function engineInfo(): EngineInfo {
  return loadAddon().engineInfo();
}
