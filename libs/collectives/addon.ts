/**
 * The addon with Gloo and its exports. scripts/build-collectives.mjs builds it where Gloo is found. It is found relative to this file, in the sources
 * (libs/collectives/addon.ts) or in the package (dist/libs/collectives/addon.js).
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { CollectivesAbsent } from './mesh.js';

/** A mesh of the addon; closed by meshClose, or when it is garbage-collected. */
export type MeshHandle = object;

interface Addon {
  meshCreate(rank: number, size: number, connectTimeoutMs: number, transferTimeoutMs: number): MeshHandle;
  /** Listens; resolves to the addresses that the members of each rank must connect to, in Gloo's own form. */
  meshOpen(handle: MeshHandle, host: string): Promise<Uint8Array[]>;
  /** The functions that follow reject with an Error whose code is ERR_MESH_ABORTED or ERR_MESH_FAILED, and whose `peer` may be a rank. */
  meshConnect(handle: MeshHandle, addresses: readonly Uint8Array[]): Promise<void>;
  /** `code`: as mesh-program.ts has it. */
  meshRun(
    handle: MeshHandle,
    code: Float64Array,
    scratch: number,
    flushSubnormals: boolean,
    arrays: readonly Float32Array[],
  ): Promise<void>;
  meshAbort(handle: MeshHandle): void;
  meshClose(handle: MeshHandle): Promise<void>;
  glooVersion(): string;
}

const CANDIDATES = [
  '../native/build/collectives/Release/dropstream_collectives.node',
  '../../../libs/native/build/collectives/Release/dropstream_collectives.node',
];
const HOW = "install Gloo (Debian, Ubuntu: apt-get install libgloo-dev) and run `npm run build` in the package's folder";
let loaded: Addon | undefined;

/** The addon's exports, loaded once per thread. @throws CollectivesAbsent */
export function loadAddon(): Addon {
  loaded ??= loadFrom(CANDIDATES.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url))));
  return loaded;
}

/** The addon in the first of these files that is there. @throws CollectivesAbsent */
export function loadFrom(paths: readonly string[]): Addon {
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) throw new CollectivesAbsent(`the addon with Gloo is not built; ${HOW}`);
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new CollectivesAbsent(`the addon with Gloo does not load (${(cause as Error).message}); ${HOW}`, { cause });
  }
}

/** Whether several workers can train one run on this machine, and with which version of Gloo. */
export function collectivesAvailable(): { available: true; version: string } | { available: false; reason: string } {
  try {
    return { available: true, version: loadAddon().glooVersion() };
  } catch (error) {
    if (error instanceof CollectivesAbsent) return { available: false, reason: error.reason };
    throw error;
  }
}
