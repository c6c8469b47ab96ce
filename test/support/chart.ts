/** The chart, rendered by a real helm. */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

export const chartPath = fileURLToPath(new URL('../../deploy/helm/dropstream', import.meta.url));
/** The values of every way of installing it that is tested. */
export const valuesFiles: readonly string[] = readdirSync(join(chartPath, 'ci')).sort();
export const valuesPath = (name: string): string => join(chartPath, 'ci', name);
/** Helm without a cluster pretends to be an old one. */
export const kubeVersion = '1.34.0';
export const release = 'exp';
export const namespace = 'training';

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Record<string, string>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: what is below differs with every kind, and tests look at its details
  readonly [field: string]: any;
}

/** Runs helm with a folder of its own for everything that it keeps. @throws with what helm says */
export async function runHelm(helm: string, argv: readonly string[]): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'dropstream-helm-'));
  try {
    const env = { ...process.env, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
    const { stdout } = await promisify(execFile)(helm, argv, { env, timeout: 60_000, maxBuffer: 64 << 20 });
    return stdout;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

export const renderText = (helm: string, argv: readonly string[]): Promise<string> =>
  runHelm(helm, ['template', release, chartPath, '--namespace', namespace, '--kube-version', kubeVersion, ...argv]);

export async function renderChart(helm: string, argv: readonly string[]): Promise<KubeObject[]> {
  return parseObjects(await renderText(helm, argv));
}

const parseObjects = (text: string): KubeObject[] =>
  parseAllDocuments(text, { schema: 'yaml-1.1', merge: true })
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0];
      return document.toJS() as KubeObject | null;
    })
    .filter((object): object is KubeObject => object !== null);
