/** Meshes whose members are all in one process. */
import { connectMesh, type Mesh, type MeshOptions, type RendezvousStore } from '#collectives/index.js';

/** A store in memory. */
export function memoryStore(): RendezvousStore & { readonly entries: Map<string, Uint8Array> } {
  const entries = new Map<string, Uint8Array>();
  const changed: (() => void)[] = [];
  return {
    entries,
    async set(key, value) {
      entries.set(key, value);
      for (const look of changed.splice(0)) look();
    },
    async get(key, signal) {
      for (;;) {
        const found = entries.get(key);
        if (found !== undefined) return found;
        signal.throwIfAborted();
        await new Promise<void>((resolve) => {
          changed.push(resolve);
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    },
  };
}

export const optionsOf = (rank: number, size: number, options: Partial<MeshOptions> = {}): MeshOptions => ({
  rank,
  size,
  host: '127.0.0.1',
  store: memoryStore(),
  connectTimeoutMs: 30_000,
  transferTimeoutMs: 60_000,
  signal: new AbortController().signal,
  ...options,
});

/** All members of a mesh, by rank. */
export function connectAll(size: number, options: Partial<MeshOptions> = {}): Promise<Mesh[]> {
  const store = memoryStore();
  return Promise.all(Array.from({ length: size }, (_, rank) => connectMesh(optionsOf(rank, size, { store, ...options }))));
}

export const closeAll = (meshes: readonly Mesh[]) => Promise.all(meshes.map((mesh) => mesh.close()));
