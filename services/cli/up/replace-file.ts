import { rename, writeFile } from 'node:fs/promises';

/** Writes a file that only its owner may read; whoever reads it never sees half of it. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.${process.pid}`, text, { mode: 0o600 });
  await rename(`${path}.${process.pid}`, path);
}
