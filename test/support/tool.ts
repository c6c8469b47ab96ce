import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { sharedFolder, sharedPath } from './shared-folder.js';

export type Tool = { path: string } | { skip: string };

/** The path of a pinned test tool (minio, grpcurl, promtool, …), installed on first use, or why there is none. */
export async function findTool(name: string): Promise<Tool> {
  const getTool = sharedPath('tools', 'get-tool');
  if (!getTool) return { skip: `${name}: no ${sharedFolder}/tools/get-tool (set DROPSTREAM_SHARED)` };
  try {
    // A cold machine builds the tool from source: minutes.
    const { stdout } = await promisify(execFile)(getTool, [name], { timeout: 600_000 });
    return { path: stdout.trim() };
  } catch (error) {
    return { skip: `${name}: get-tool failed: ${(error as Error).message.split('\n')[0]}` };
  }
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
