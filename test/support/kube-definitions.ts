/**
 * Definitions of the custom resources that the chart makes: KEDA's own, from its Go module, and those of the Prometheus operator, as far as the chart
 * uses them, from a file of ours. Every object in ours is closed, so that a field which is not there is refused.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { findTool } from './tool.js';

/** The version that get-tool's client of the scaler is built with. */
const KEDA = 'github.com/kedacore/keda/v2@v2.21.0';

export interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Record<string, unknown> } }[];
  };
}

export async function readDefinitions(): Promise<{ all: readonly Definition[] } | { skip: string }> {
  const client = await findTool('keda-scaler-client');
  if ('skip' in client) return client;
  let folder: string;
  try {
    const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', KEDA], { cwd: tmpdir(), timeout: 120_000 });
    folder = (JSON.parse(stdout) as { Dir: string }).Dir;
  } catch (error) {
    return { skip: `keda: go mod download failed: ${(error as Error).message.split('\n')[0]}` };
  }
  const files = ['scaledjobs', 'scaledobjects', 'triggerauthentications'].map((name) =>
    join(folder, 'config/crd/bases', `keda.sh_${name}.yaml`),
  );
  const own = fileURLToPath(new URL('../deploy/crds/monitoring.yaml', import.meta.url));
  const all: Definition[] = [];
  for (const file of [...files, own])
    for (const document of parseAllDocuments(await readFile(file, 'utf8'))) all.push(document.toJS({ maxAliasCount: -1 }) as Definition);
  return { all };
}
