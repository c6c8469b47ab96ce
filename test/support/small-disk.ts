/** A file system of its own with little room, so that a full disk can be met for real. Only root may mount it. */
import { execFile } from 'node:child_process';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface SmallDisk {
  readonly folder: string;
  /** Changes its size, which must not be less than what is stored. */
  resize(bytes: number): Promise<void>;
  /** Takes the file system away; the empty folder stays. */
  unmount(): Promise<void>;
  mount(): Promise<void>;
  /** Unmounts it and removes the folder. */
  remove(): Promise<void>;
}

/** @returns the disk, or the reason to skip. Whoever makes it removes it */
export async function smallDisk(bytes: number): Promise<SmallDisk | { skip: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-disk-'));
  const mount = async (...options: string[]): Promise<void> =>
    void (await run('mount', ['-t', 'tmpfs', '-o', [`size=${bytes}`, ...options].join(','), 'tmpfs', folder]));
  const unmount = async (): Promise<void> => void (await run('umount', ['-l', folder]));
  try {
    await mount();
  } catch (error) {
    await rmdir(folder);
    return { skip: `no file system can be mounted: ${(error as Error).message.trim().split('\n').at(-1)}` };
  }
  return {
    folder,
    resize: async (size) => void (await run('mount', ['-o', `remount,size=${size}`, folder])),
    unmount,
    mount,
    remove: async () => {
      await unmount().catch(() => undefined);
      await rmdir(folder);
    },
  };
}
