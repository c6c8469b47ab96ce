import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { DirectoryStore } from '#storage/directory-store.js';

/** A store in an empty temporary folder, which is removed when the test file ends. */
export async function freshDirectoryStore(): Promise<{ store: DirectoryStore; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-store-'));
  after(() => rm(folder, { recursive: true, force: true }));
  return { store: await DirectoryStore.open(folder), folder };
}
