// What CMake left in a build folder for sources in another place.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { source } from './sources.mjs';

/**
 * Empties a build folder whose cache was made for sources elsewhere (a copied or packed tree), because CMake refuses it.
 * @param kept names in the folder that others fill, and that stay
 */
export function dropForeignCache(folder, kept = new Set()) {
  const cache = join(folder, 'CMakeCache.txt');
  if (!existsSync(cache) || readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${source}\n`)) return;
  for (const entry of readdirSync(folder)) if (!kept.has(entry)) rmSync(join(folder, entry), { recursive: true });
}
