/** A small disk for the store that can be filled up: a tmpfs where this process may mount one. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';

export interface SmallDisk {
  readonly folder: string;
  /** How it is filled, for the report. */
  readonly how: string;
  fill(): Promise<void>;
  free(): void;
  unmount(): void;
}

/** @returns undefined where no file system can be mounted */
export function mountSmallDisk(folder: string, mib: number): SmallDisk | undefined {
  mkdirSync(folder, { recursive: true });
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', folder]);
  if (mounted.status !== 0) return undefined;
  const filler = join(folder, 'filler');
  return {
    folder,
    how: `a tmpfs of ${mib} MiB below MinIO is filled to the last block`,
    fill: async () => {
      const block = Buffer.alloc(1 << 20);
      // MinIO may write meanwhile, so that a count of the free blocks is out of date at once.
      for (let part = 0; part < 2 * mib; part++) {
        const { bavail, bsize } = await statfs(folder);
        const size = Math.min(block.length, bavail * bsize);
        if (size === 0) return;
        try {
          writeFileSync(filler, block.subarray(0, size), { flag: 'a' });
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return;
          throw error;
        }
      }
    },
    free: () => rmSync(filler, { force: true }),
    unmount: () => void spawnSync('umount', ['-l', folder]),
  };
}
