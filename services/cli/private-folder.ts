/** Folders that only their owner may enter, because what is in them tells of runs, data and machines. */
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { homeName } from './context.js';

/**
 * Makes the folder and those above it that are missing. One that others may enter, because an earlier version made it so, is closed to them; one with
 * another name, which a user has chosen, stays as it is.
 */
export function makePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (basename(path) !== homeName) return;
  const { mode, uid } = statSync(path);
  if ((mode & 0o077) !== 0 && uid === process.getuid?.()) chmodSync(path, 0o700);
}
