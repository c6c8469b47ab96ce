import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of fixtures, data and test tools that lies beside a working copy; tests that need it skip where it is absent. */
export const sharedFolder = process.env.DROPSTREAM_SHARED ?? resolve(fileURLToPath(new URL('../../../shared', import.meta.url)));

/** @returns the path inside the shared folder, or undefined when it is not there */
export function sharedPath(...parts: string[]): string | undefined {
  const path = join(sharedFolder, ...parts);
  return existsSync(path) ? path : undefined;
}
