/** Marks a folder of log files as belonging to one run, whose name is in run.json. */
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
    // Reported below.
  }
  throw new CommandError(`${path} does not contain the name of a run: remove it, or choose another folder`, exitCodes.dataLoss);
}

/**
 * The run that the folder belongs to, or undefined if a new run may use it.
 * @throws CommandError with exit code 5 if the folder has a log.txt but no run.json, 7 if run.json is damaged
 */
export async function ownerOfFolder(folder: string): Promise<string | undefined> {
  const owner = await runOfFolder(folder);
  if (owner === undefined && (await stat(join(folder, 'log.txt')).catch(() => undefined))) {
    throw new CommandError(`${folder} contains a log.txt that Dropstream did not write: choose another folder`, exitCodes.conflict);
  }
  return owner;
}

/** Marks the folder as the run's. @throws CommandError with exit code 5 if it belongs to another run, 2 if it cannot be written */
export async function claimFolder(folder: string, run: string): Promise<void> {
  const owner = await ownerOfFolder(folder);
  if (owner === run) return;
  if (owner !== undefined) throw new CommandError(`${folder} belongs to ${owner}: choose another folder`, exitCodes.conflict);
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new CommandError(`${folder} cannot be created: ${(cause as NodeJS.ErrnoException).code}`, exitCodes.usage, { cause });
  }
  await writeWhole(join(folder, MARKER), `${JSON.stringify({ run })}\n`);
}

/** Replaces a file; readers see the old or the new content, never a part. @throws CommandError (exit code 2) if it cannot be written */
export async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}`;
  try {
    await writeFile(draft, text);
    await rename(draft, path);
  } catch (cause) {
    throw new CommandError(`${path} cannot be written: ${(cause as NodeJS.ErrnoException).code}`, exitCodes.usage, { cause });
  }
}
