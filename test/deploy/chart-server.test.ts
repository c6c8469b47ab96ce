/** A real API server is asked whether it would take what the chart makes, and a real helm installs and upgrades it there. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { chartPath, type KubeObject, namespace, release, renderChart, runHelm, valuesFiles, valuesPath } from '../support/chart.js';
import { type KubeApiserver, startKubeApiserver } from '../support/kube-apiserver.js';
import { readDefinitions } from '../support/kube-definitions.js';
import { findTool } from '../support/tool.js';
import { until } from '../support/until.js';

const [helm, definitions, kube] = [await findTool('helm'), await readDefinitions(), await startKubeApiserver()];
after(async () => void ('stop' in kube && (await kube.stop())));
const skip = [helm, definitions, kube].map((tool) => ('skip' in tool ? tool.skip : '')).find((why) => why !== '') || false;
const path = 'path' in helm ? helm.path : '';
const server = kube as KubeApiserver;

test('the server takes the definitions of KEDA and the Prometheus operator', { skip, timeout: 60_000 }, async () => {
  if ('skip' in definitions) return;
  for (const definition of definitions.all) {
    const answer = await server.call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', JSON.stringify(definition));
    assert.equal(answer.status, 201, answer.body.message);
  }
  // The strictest of Kubernetes' standards for pods: what violates it is a warning.
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/warn': 'restricted' };
  const answer = await server.call('POST', '/api/v1/namespaces', JSON.stringify({ metadata: { name: namespace, labels } }));
  assert.equal(answer.status, 201, answer.body.message);
  for (const { spec } of definitions.all) {
    const [version, kind] = [`${spec.group}/${spec.versions[0]!.name}`, spec.names.kind];
    await until(`${version} ${kind}`, async () => (await plurals(version)).has(kind), { looks: 300, pauseMs: 100 });
  }
});

async function plurals(apiVersion: string): Promise<Map<string, string>> {
  const { status, body } = await server.call('GET', `${apiVersion.includes('/') ? '/apis/' : '/api/'}${apiVersion}`);
  if (status !== 200) return new Map();
  const resources = (body as unknown as { resources: { name: string; kind: string }[] }).resources.filter(
    ({ name }) => !name.includes('/'),
  );
  return new Map(resources.map(({ name, kind }) => [kind, name]));
}

async function pathOf({ apiVersion, kind, metadata }: KubeObject): Promise<string> {
  const plural = (await plurals(apiVersion)).get(kind);
  assert.ok(plural, `the server knows ${apiVersion} ${kind}`);
  return `${apiVersion.includes('/') ? '/apis/' : '/api/'}${apiVersion}/namespaces/${namespace}/${plural}/${metadata.name}`;
}

/** The job that KEDA makes. */
const jobOf = ({ metadata, spec }: KubeObject): KubeObject => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: `${metadata.name}-x`, labels: metadata.labels },
  spec: spec.jobTargetRef,
});

for (const name of valuesFiles) {
  test(`the server would take everything of ${name}, and knows every field`, { skip, timeout: 60_000 }, async () => {
    const rendered = await renderChart(path, ['--values', valuesPath(name)]);
    const objects = [...rendered, ...rendered.filter(({ kind }) => kind === 'ScaledJob').map(jobOf)];
    assert.ok(objects.length > 20);
    const wrong: string[] = [];
    for (const object of objects) {
      const query = '?dryRun=All&fieldManager=test&force=true&fieldValidation=Strict';
      const answer = await server.call('PATCH', (await pathOf(object)) + query, JSON.stringify(object), 'application/apply-patch+yaml');
      const said = [answer.status < 300 ? [] : [answer.body.message], answer.warnings].flat();
      if (said.length > 0) wrong.push(`${object.kind} ${object.metadata.name}: ${said.join('; ')}`);
    }
    assert.deepEqual(wrong, []);
  });
}

const read = async (kind: string, apiVersion: string, name: string) => {
  const answer = await server.call('GET', await pathOf({ apiVersion, kind, metadata: { name, labels: {} } }));
  return answer.status === 404 ? undefined : (answer.body as unknown as KubeObject);
};

test('helm installs it, and upgrades it: the password stays, and KEDA scales the data service once the api is ready', {
  skip,
  timeout: 120_000,
}, async () => {
  const shared = ['--namespace', namespace, '--kubeconfig', server.kubeconfig, '--timeout', '30s'];
  const notes = await runHelm(path, ['install', release, chartPath, ...shared]);
  assert.match(notes, /helm upgrade exp /, 'says what is next');
  const name = `${release}-dropstream`;
  const password = (await read('Secret', 'v1', `${name}-minio`))?.data.secretKey as string;
  assert.equal(Buffer.from(password, 'base64').length, 32);
  assert.equal(await read('ScaledObject', 'keda.sh/v1alpha1', `${name}-data`), undefined, 'the scaler does not answer yet');
  assert.ok(await read('ScaledJob', 'keda.sh/v1alpha1', `${name}-trainer-worker`));

  const api = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: `${name}-trainer-api`, labels: {} } };
  const status = { status: { replicas: 2, readyReplicas: 2 } };
  const ready = await server.call('PATCH', `${await pathOf(api)}/status`, JSON.stringify(status), 'application/merge-patch+json');
  assert.equal(ready.status, 200, ready.body.message);
  const again = await runHelm(path, ['upgrade', release, chartPath, '--reuse-values', ...shared]);
  assert.doesNotMatch(again, /helm upgrade exp /);
  assert.ok(await read('ScaledObject', 'keda.sh/v1alpha1', `${name}-data`));
  assert.equal((await read('Secret', 'v1', `${name}-minio`))?.data.secretKey, password);

  const gone = { status: { replicas: 0, readyReplicas: 0 } };
  await server.call('PATCH', `${await pathOf(api)}/status`, JSON.stringify(gone), 'application/merge-patch+json');
  await runHelm(path, ['upgrade', release, chartPath, '--reuse-values', '--set', 'logLevel=debug', ...shared]);
  assert.ok(await read('ScaledObject', 'keda.sh/v1alpha1', `${name}-data`), 'an upgrade while the api is away takes nothing');

  await runHelm(path, ['uninstall', release, ...shared]);
  assert.ok(await read('Secret', 'v1', `${name}-minio`), 'without it, nobody could read the volume that stays');
  assert.equal(await read('Deployment', 'apps/v1', `${name}-data`), undefined);
});
