/** Changes files that only their owner may read. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { FailedPrecondition, invalid } from '#errors/errors.js';

/**
 * Changes the file, or makes it and its folder. Readers see the old or the new content. Only one process changes it at a time.
 * @param option how messages name the file
 * @param change returns the new content; it is told whether there is a file
 * @throws FailedPrecondition while somebody else changes it; InvalidArgument where it cannot be written; what `change` throws
 */
export function changePrivateFile(path: string, option: string, change: (exists: boolean) => string): void {
  // The new content is written here, and whoever can create it has the turn.
  const next = `${path}.new`;
  const file = openTurn(path, next, option);
  try {
    try {
      writeFileSync(file, change(existsSync(path)));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  }
}

function openTurn(path: string, next: string, option: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openSync(next, 'wx', 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST')
      throw invalid(option, path, `in a folder that can be written (${(cause as Error).message})`);
    throw new FailedPrecondition('file', path, `another change is in progress; if none is, delete ${next}`);
  }
}
