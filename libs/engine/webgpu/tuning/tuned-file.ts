/**
 * The file of tuned choices: which tiles are fastest on the adapters of this user's machines. It is written by `dropstream tune` only, as a whole, and
 * names for every choice what it depends on. Whoever reads it gets what fits exactly, or nothing.
 */
import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, open, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { parseOwnJson } from '#bounds/own-json.js';
import { readSmallFile } from '#bounds/small-file.js';
import type { Tiles } from '../kernels/tile-shapes.js';

const FORMAT = 'dropstream.gpu-tuning.v1';
const MOST_BYTES = 1 << 18;
/** Adapters in one file; the one that was tuned longest ago goes first. */
const MOST_ADAPTERS = 64;

/** What a choice depends on. */
export interface TuningKey {
  adapter: string;
  driver: string;
  /** Version of the npm package, which stands for that of Dawn. */
  dawn: string;
  /** Digest of the shaders that were timed. */
  kernels: string;
}

export interface TunedAdapter extends TuningKey {
  /** ISO 8601. */
  tunedAt: string;
  /** Names of tiles are checked by whoever uses them, because other releases may have others. */
  tiles: Readonly<Record<string, string>>;
}

/** The file exists, but it is damaged, or no file of tuned choices, or one of another version. */
export class NotATuningFile extends Error {
  override readonly name = 'NotATuningFile';
  constructor(
    readonly path: string,
    readonly reason: string,
  ) {
    super(`${path} is no file of tuned tiles that this version can read: ${reason}`);
  }
}

/** DROPSTREAM_GPU_TUNING, or gpu-tuning.json in the user's cache folder. Undefined for `none`, and where the user has no home folder. */
export function tuningFile(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const { DROPSTREAM_GPU_TUNING: named, XDG_CACHE_HOME: cache } = env;
  if (named === 'none') return undefined;
  if (named) return resolve(named);
  // The XDG specification has relative paths ignored.
  if (cache && isAbsolute(cache)) return join(cache, 'dropstream', 'gpu-tuning.json');
  try {
    return join(homedir(), '.cache', 'dropstream', 'gpu-tuning.json');
  } catch {
    return undefined;
  }
}

/** Every adapter in the file; none if there is no file. @throws NotATuningFile */
export function readTuned(path: string): TunedAdapter[] {
  let text: string;
  try {
    text = readSmallFile(path, MOST_BYTES).toString('utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw new NotATuningFile(path, (error as Error).message);
  }
  try {
    return parsed(parseOwnJson(text));
  } catch (error) {
    throw new NotATuningFile(path, error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message);
  }
}

/**
 * Stores the choices of an adapter beside those of others, or forgets them if there are none. Another process that tunes at the same time may be
 * overwritten, but the file is always whole. @throws NotATuningFile, and errors of the file system
 */
export async function storeTuned(
  path: string,
  key: TuningKey,
  tiles: TunedAdapter['tiles'] | Tiles | undefined,
  now = new Date(),
): Promise<void> {
  const others = readTuned(path).filter((one) => !sameKey(one, key));
  const own = tiles === undefined ? [] : [{ ...key, tunedAt: now.toISOString(), tiles: tiles as TunedAdapter['tiles'] }];
  const adapters = [...others, ...own].slice(-MOST_ADAPTERS);
  await writeWhole(path, `${JSON.stringify({ format: FORMAT, adapters }, null, 2)}\n`);
}

/** Creates the folder of the file. @throws errors of the file system where nothing can be written */
export async function makeFolder(path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await access(folder, constants.W_OK);
}

export const sameKey = (a: TuningKey, b: TuningKey): boolean =>
  a.adapter === b.adapter && a.driver === b.driver && a.dawn === b.dawn && a.kernels === b.kernels;

/** Only the user may read it: it tells what is in the machine. */
async function writeWhole(path: string, text: string): Promise<void> {
  await makeFolder(path);
  const temporary = `${path}.${randomUUID()}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

function parsed(data: unknown): TunedAdapter[] {
  if (!isRecord(data) || typeof data.format !== 'string') throw new Error('it has no format');
  if (data.format !== FORMAT) throw new Error(`its format is ${JSON.stringify(data.format.slice(0, 64))}, not ${FORMAT}`);
  if (!Array.isArray(data.adapters)) throw new Error('it has no list of adapters');
  return data.adapters.map((one: unknown, at) => {
    const strings = ['adapter', 'driver', 'dawn', 'kernels', 'tunedAt'];
    const whole =
      isRecord(one) &&
      strings.every((field) => typeof one[field] === 'string') &&
      isRecord(one.tiles) &&
      Object.values(one.tiles).every((tile) => typeof tile === 'string');
    if (!whole) throw new Error(`its adapter ${at} lacks a field`);
    return one as unknown as TunedAdapter;
  });
}

const isRecord = (data: unknown): data is Record<string, unknown> => typeof data === 'object' && data !== null && !Array.isArray(data);
