/** A small disk for the store that can be full: a tmpfs where this process may mount one. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';

export interface SmallDisk {
  readonly folder: string;
  /** How it becomes full, for the report. */
  readonly how: string;
  /** Until it is freed, there is no room but what is deleted meanwhile. */
  fill(): Promise<void>;
  free(): void;
  unmount(): void;
}

const MIB = 1 << 20;
const FILL_TRIES = 50;

/** @returns undefined where no file system can be mounted */
export function mountSmallDisk(folder: string, mib: number): SmallDisk | undefined {
  mkdirSync(folder, { recursive: true });
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', folder]);
  if (mounted.status !== 0) return undefined;
  const resize = (bytes: number): string | undefined => {
    const { status, stderr } = spawnSync('mount', ['-o', `remount,size=${bytes}`, folder], { encoding: 'utf8' });
    return status === 0 ? undefined : stderr.trim();
  };
  return {
    folder,
    how: `a tmpfs of ${mib} MiB below MinIO shrinks to what is in it`,
    // A file that fills it would take memory, which other machines do not have.
    fill: async () => {
      let refused: string | undefined = 'not tried';
      // It cannot shrink below what MinIO has written since it was asked.
      for (let tries = 0; tries < FILL_TRIES && refused !== undefined; tries++) {
        const { blocks, bfree, bsize } = await statfs(folder);
        refused = resize(Math.max(1, blocks - bfree) * bsize);
      }
      if (refused !== undefined) throw new Error(`the disk of the store cannot shrink: ${refused}`);
    },
    free: () => {
      const refused = resize(mib * MIB);
      if (refused !== undefined) throw new Error(`the disk of the store cannot grow again: ${refused}`);
    },
    unmount: () => void spawnSync('umount', ['-l', folder]),
  };
}
