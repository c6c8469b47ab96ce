/** helm-unittest, built from its Go module as get-tool builds the other tools, and kept beside them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Tool } from './tool.js';

const VERSION = 'v1.1.2';
const MODULE = 'github.com/helm-unittest/helm-unittest';
/** `go install` refuses modules with replacements, so a module of ours repeats theirs. */
const GO_MOD = `module tools
go 1.26.0
require ${MODULE} ${VERSION}
replace github.com/vmware-labs/yaml-jsonpath v0.3.2 => github.com/helm-unittest/yaml-jsonpath v0.4.0
`;

export async function findHelmUnittest(): Promise<Tool> {
  const tools = process.env.TOOLS_DIR ?? join(homedir(), '.cache/dropstream-tools/bin');
  const path = join(tools, `helm-unittest-${VERSION}`);
  if (existsSync(path)) return { path };
  await mkdir(tools, { recursive: true });
  const folder = await mkdtemp(join(tools, '.new.'));
  try {
    await writeFile(join(folder, 'go.mod'), GO_MOD);
    const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '-mod=mod -trimpath -buildvcs=false' };
    const argv = ['build', '-ldflags=-s -w', '-o', 'helm-unittest', `${MODULE}/cmd/helm-unittest`];
    await promisify(execFile)('go', argv, { cwd: folder, env, timeout: 600_000, maxBuffer: 16 << 20 });
    await rename(join(folder, 'helm-unittest'), path);
    return { path };
  } catch (error) {
    return { skip: `helm-unittest: go build failed: ${(error as Error).message.split('\n')[0]}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
