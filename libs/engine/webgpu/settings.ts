/** What the environment says about the GPU. */
import { ExecutorUnavailable } from '../executor.js';

export interface Settings {
  /** A part of the adapter's name; undefined: the first real GPU. */
  wanted: string | undefined;
  /** Most bytes of device memory for one program; undefined: what the device gives. */
  memoryBytes: number | undefined;
  /** A driver that says nothing for so long while it has work hangs; undefined: what `silenceMs` says. */
  silenceMs: number | undefined;
}

/** Creating a program, and a chunk of the largest model, take less. A software device compiles large shaders and computes with a few cores. */
const SILENCE_S = { gpu: 300, software: 3600 };

/** How long a driver that has work may be silent. */
export const silenceMs = (given: Settings, { software }: { software: boolean }): number =>
  given.silenceMs ?? 1000 * SILENCE_S[software ? 'software' : 'gpu'];

/** @throws ExecutorUnavailable naming the variable */
export function settings(env: NodeJS.ProcessEnv = process.env): Settings {
  const megabytes = whole(env, 'DROPSTREAM_GPU_MEMORY', 'megabytes', 1 << 24);
  const seconds = whole(env, 'DROPSTREAM_GPU_TIMEOUT', 'seconds', 86_400);
  return {
    wanted: env.DROPSTREAM_GPU || undefined,
    memoryBytes: megabytes === undefined ? undefined : megabytes * 2 ** 20,
    silenceMs: seconds === undefined ? undefined : 1000 * seconds,
  };
}

function whole(env: NodeJS.ProcessEnv, name: string, unit: string, most: number): number | undefined {
  const given = env[name];
  if (given === undefined || given === '') return undefined;
  const value = Number(given);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new ExecutorUnavailable('webgpu', `${name} is ${JSON.stringify(given)}, must be a whole number of ${unit} from 1 to ${most}`);
}
