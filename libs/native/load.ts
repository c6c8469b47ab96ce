/**
 * Finds and loads the native addon, built by scripts/build-native.mjs into libs/native/build/Release, from this file's place in the
 * sources (libs/native/load.ts) or in the package (dist/libs/native/load.js).
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** The addon is not there or does not load. `path`: where it was looked for. */
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

const CANDIDATES = ['./build/Release/dropstream.node', '../../../libs/native/build/Release/dropstream.node'];
let loaded: Record<string, unknown> | undefined;

/** The addon's exports, loaded once per thread. Throws AddonUnavailable. */
export function loadAddon(): Record<string, unknown> {
  if (loaded) return loaded;
  const paths = CANDIDATES.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (!path) throw new AddonUnavailable(paths[0] as string, 'not built');
  try {
    loaded = createRequire(import.meta.url)(path) as Record<string, unknown>;
  } catch (cause) {
    throw new AddonUnavailable(path, `does not load (${(cause as Error).message})`, { cause });
  }
  return loaded;
}
