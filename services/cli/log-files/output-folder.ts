/** A folder of a run's log files belongs to that run: run.json in it says which. */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, exitCodes } from '../exit-codes.js';

const MARKER = 'run.json';

async function runOfFolder(folder: string): Promise<string | undefined> {
  const path = join(folder, MARKER);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new CommandError(`${path} cannot be read: ${error.code}`, exitCodes.usage, { cause: error });
  });
  if (text === undefined) return undefined;
  try {
    const { run } = JSON.parse(text) as { run?: unknown };
    if (typeof run === 'string' && run !== '') return run;
  } catch {
    // Said below.
  }
  throw new CommandError(`${path} names no run: remove it, or give another folder`, exitCodes.dataLoss);
}

/**
 * The run that the folder belongs to, or undefined where a new run may have it.
 * @throws CommandError (5) where a log.txt of something else lies there, (7) where run.json is damaged
 */
export async function ownerOfFolder(folder: string): Promise<string | undefined> {
  const owner = await runOfFolder(folder);
  if (owner === undefined && (await stat(join(folder, 'log.txt')).catch(() => undefined))) {
    throw new CommandError(`${folder} holds a log.txt already, of something else: give another folder`, exitCodes.conflict);
  }
  return owner;
}

/** Makes the folder the run's own. @throws CommandError (5) where it holds another run's log, (2) where it cannot be written */
export async function claimFolder(folder: string, run: string): Promise<void> {
  const owner = await ownerOfFolder(folder);
  if (owner === run) return;
  if (owner !== undefined) throw new CommandError(`${folder} belongs to ${owner}: give another folder`, exitCodes.conflict);
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new CommandError(`${folder} cannot be made: ${(cause as NodeJS.ErrnoException).code}`, exitCodes.usage, { cause });
  }
  await writeWhole(join(folder, MARKER), `${JSON.stringify({ run })}\n`);
}

/** Readers see the old file or the new one, never a part. @throws CommandError (2) where it cannot be written */
export async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}`;
  try {
    await writeFile(draft, text);
    await rename(draft, path);
  } catch (cause) {
    throw new CommandError(`${path} cannot be written: ${(cause as NodeJS.ErrnoException).code}`, exitCodes.usage, { cause });
  }
}
