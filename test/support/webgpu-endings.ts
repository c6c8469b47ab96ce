/** Runs processes with a program on WebGPU that end in many ways. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { testAdapter } from './webgpu-kernel.js';

/** Runs a process to its end: its exit code, its signal and what it said. */
export async function webgpuEnding(name: string, env: Record<string, string> = {}) {
  const script = fileURLToPath(new URL('./webgpu-ending.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', script, name], {
    env: { ...process.env, DROPSTREAM_GPU: testAdapter, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data));
  const [code, signal] = await once(child, 'close');
  assert.match(said, /^ending$/m);
  return { code, signal, said };
}
