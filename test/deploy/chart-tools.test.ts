/** What the usual tools say of the chart: helm lint, helm-unittest and kubeconform. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { chartPath, kubeVersion, renderText, runHelm, valuesFiles, valuesPath } from '../support/chart.js';
import { findHelmUnittest } from '../support/helm-unittest.js';
import { type Definition, readDefinitions } from '../support/kube-definitions.js';
import { findTool, type Tool } from '../support/tool.js';

const why = (...tools: readonly (Tool | object)[]): string | false =>
  tools.map((tool) => ('skip' in tool ? String(tool.skip) : '')).find((reason) => reason !== '') ?? false;
const pathOf = (tool: Tool): string => ('path' in tool ? tool.path : '');
const run = promisify(execFile);

const [helm, unittest] = [await findTool('helm'), await findHelmUnittest()];
const [kubeconform, schemas, definitions] = [await findTool('kubeconform'), await findTool('k8s-schemas'), await readDefinitions()];

test('there are values for every way of installing it', () => {
  assert.deepEqual(
    valuesFiles,
    ['default', 'external-s3', 'gpu', 'ha', 'ingress', 'no-keda'].map((name) => `${name}-values.yaml`),
  );
});

test('helm lint has no word against any of them', { skip: why(helm) }, async () => {
  for (const name of valuesFiles) {
    const said = await runHelm(pathOf(helm), [
      'lint',
      chartPath,
      '--strict',
      '--quiet',
      '--kube-version',
      kubeVersion,
      '--values',
      valuesPath(name),
    ]);
    assert.equal(said.trim(), '', name);
  }
});

test('helm-unittest passes its suites', { skip: why(unittest) }, async () => {
  const { stdout } = await run(pathOf(unittest), ['--strict', chartPath], { timeout: 60_000 });
  assert.match(stdout, /^Tests: +(\d{2,}) passed, \1 total$/m);
});

test('kubeconform finds every object as strict schemas want it', { skip: why(helm, kubeconform, schemas, definitions) }, async (t) => {
  const own = await writeSchemas(t, 'all' in definitions ? definitions.all : []);
  const kubernetes = `${pathOf(schemas)}/{{.NormalizedKubernetesVersion}}-standalone{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json`;
  const argv = ['-strict', '-summary', '-output', 'json', '-kubernetes-version', kubeVersion];
  const locations = ['-schema-location', kubernetes, '-schema-location', `${own}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json`];
  const files = valuesFiles.map((name) => join(own, name));
  for (const [k, name] of valuesFiles.entries()) await writeFile(files[k]!, await renderText(pathOf(helm), ['--values', valuesPath(name)]));
  const misspelt = join(own, 'misspelt.yaml');
  const scaled = { spec: { scaleTargetRef: { name: 'a' }, triggers: [], coolDownPeriod: 300 } };
  await writeFile(misspelt, JSON.stringify({ apiVersion: 'keda.sh/v1alpha1', kind: 'ScaledObject', metadata: { name: 'a' }, ...scaled }));
  // One process, because reading Kubernetes' schemas takes most of the time. It ends with 1 where it finds something, which is in its answer.
  const { stdout } = await run(pathOf(kubeconform), [...argv, ...locations, ...files, misspelt], { timeout: 120_000 }).catch(
    (error: { stdout: string }) => error,
  );
  const { resources, summary } = JSON.parse(stdout) as { resources: { name: string; msg: string }[]; summary: Record<string, number> };
  assert.deepEqual([summary.errors, summary.skipped], [0, 0], JSON.stringify(resources));
  assert.equal(resources.length, 1, JSON.stringify(resources));
  assert.match(resources[0]!.msg, /coolDownPeriod/, 'what is misspelt is found');
  assert.ok(summary.valid! > 100);
});

/** The schemas of custom resources, as files, where no field is allowed that they do not name. */
async function writeSchemas(t: TestContext, all: readonly Definition[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-schemas-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const { spec } of all)
    for (const { name, schema } of spec.versions) {
      const closed = close(schema.openAPIV3Schema) as { properties: object };
      // What every object has is known to Kubernetes, and not part of a definition.
      const whole = { ...closed, properties: { ...closed.properties, metadata: { type: 'object' } } };
      await writeFile(join(folder, `${spec.names.kind.toLowerCase()}_${name}.json`), JSON.stringify(whole));
    }
  return folder;
}

function close(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(close);
  if (typeof node !== 'object' || node === null) return node;
  const inside = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, close(value)]));
  const open = 'additionalProperties' in node || 'x-kubernetes-preserve-unknown-fields' in node;
  // A field may itself be called "properties"; only a schema has a type beside it.
  return 'properties' in node && 'type' in node && !open ? { ...inside, additionalProperties: false } : inside;
}
