/** The version in package.json, for build info and `--version`. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// The path is relative to libs/telemetry, or to dist/libs/telemetry in compiled code.
const places = ['../../package.json', '../../../package.json'];

export const version: string = readVersion();

function readVersion(): string {
  for (const place of places) {
    const path = fileURLToPath(new URL(place, import.meta.url));
    if (!existsSync(path)) continue;
    const { name, version: found } = JSON.parse(readFileSync(path, 'utf8')) as { name?: string; version?: string };
    if (name === 'dropstream' && found !== undefined) return found;
  }
  return '0.0.0';
}
