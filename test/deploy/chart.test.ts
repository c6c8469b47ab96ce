/** What the chart gives a service is what the service takes, and what services need of each other is there. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { dataConfig } from '../../services/data/config.js';
import { evaluatorConfig } from '../../services/evaluator/config.js';
import { gatewayConfig } from '../../services/gateway/config.js';
import { schedulerConfig } from '../../services/scheduler/config.js';
import { trainerConfig } from '../../services/trainer/config.js';
import { type KubeObject, namespace, renderChart, valuesFiles, valuesPath } from '../support/chart.js';
import { findTool } from '../support/tool.js';
import { deployPath } from './dashboard-queries.js';

const parsers = {
  data: dataConfig.parse,
  scheduler: schedulerConfig.parse,
  trainer: trainerConfig.parse,
  evaluator: evaluatorConfig.parse,
  gateway: gatewayConfig.parse,
};
type Service = keyof typeof parsers;

const helm = await findTool('helm');
const skip = 'skip' in helm ? helm.skip : false;
const renderings = new Map<string, KubeObject[]>();
if ('path' in helm) for (const name of valuesFiles) renderings.set(name, await renderChart(helm.path, ['--values', valuesPath(name)]));

interface Pod {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: as in KubeObject
  readonly spec: any;
}
const podsOf = (objects: readonly KubeObject[]): Pod[] =>
  objects.flatMap(({ kind, metadata, spec }) => {
    const template = kind === 'ScaledJob' ? spec.jobTargetRef.template : spec?.template;
    return template ? [{ name: metadata.name, labels: template.metadata.labels, spec: template.spec }] : [];
  });
/** Pods of our services, with the options of each. */
const served = (objects: readonly KubeObject[]) =>
  podsOf(objects).flatMap((pod) => {
    const [container] = pod.spec.containers;
    const [command, service, ...argv] = container.args as string[];
    if (command !== 'serve') return [];
    return [{ pod, container, argv, service: service as Service, config: parsers[service as Service]({ argv }) }];
  });
const selects = (selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean =>
  Object.entries(selector).every(([key, value]) => labels[key] === value);

test('every option that the chart gives a service is one that it takes, and its ports and probes are those of the service', {
  skip,
}, () => {
  for (const [name, objects] of renderings) {
    const services = served(objects);
    assert.equal(services.length, name === 'ha-values.yaml' ? 6 : 7, name);
    for (const { pod, container, config, argv, service } of services) {
      const at = `${name}: ${pod.name}`;
      assert.deepEqual([config.host, config.adminHost], ['0.0.0.0', '0.0.0.0'], at);
      const ports = Object.fromEntries(
        container.ports.map((port: { name: string; containerPort: number }) => [port.name, port.containerPort]),
      );
      assert.deepEqual(ports, { [service === 'gateway' ? 'http' : 'grpc']: config.port, admin: config.adminPort }, at);
      for (const [probe, path] of Object.entries({ startupProbe: '/livez', livenessProbe: '/livez', readinessProbe: '/readyz' })) {
        assert.deepEqual(container[probe].httpGet, { path, port: 'admin', scheme: config.tlsCert === '' ? 'HTTP' : 'HTTPS' }, at);
      }
      if ('store' in config) assert.match(config.store, /^s3:\/\/dropstream[/?]/, at);
      assert.equal(config.allowRemote, config.tlsCert === '', at);
      const graceMs = pod.spec.terminationGracePeriodSeconds * 1000;
      const delayMs = Number(argv[argv.indexOf('--drain-delay-ms') + 1]);
      assert.ok(graceMs > config.drainMs + delayMs + 5000, `${at} is killed after ${graceMs} ms`);
      assert.equal(argv.includes('--exit-when-idle'), pod.spec.restartPolicy === 'Never', `${at}: a deployment would start it again`);
    }
  }
});

test('every file that an option names is mounted, and what is not is read-only', { skip }, () => {
  for (const [name, objects] of renderings)
    for (const { pod, container, argv } of served(objects)) {
      const mounts = container.volumeMounts as { name: string; mountPath: string; readOnly?: boolean }[];
      const volumes = (pod.spec.volumes as { name: string }[]).map((volume) => volume.name);
      assert.deepEqual(mounts.map((mount) => mount.name).sort(), volumes.sort(), `${name}: ${pod.name}`);
      for (const path of argv.filter((arg) => arg.startsWith('/')).map((arg) => arg.replace(/#.*/, '')))
        assert.ok(
          mounts.some(({ mountPath }) => path === mountPath || path.startsWith(`${mountPath}/`)),
          `${name}: ${pod.name} reads ${path}`,
        );
      const written = mounts.filter(({ readOnly }) => !readOnly).map(({ mountPath }) => mountPath);
      assert.deepEqual(
        written.filter((path) => !['/tmp', '/cache'].includes(path)),
        [],
        `${name}: ${pod.name}`,
      );
    }
});

test('variables of ours that the chart sets are read somewhere', { skip }, () => {
  const names = new Set<string>();
  for (const objects of renderings.values())
    for (const { container } of served(objects))
      for (const { name } of (container.env ?? []) as { name: string }[]) if (name.startsWith('DROPSTREAM_')) names.add(name);
  assert.ok(names.has('DROPSTREAM_ISA') && names.has('DROPSTREAM_S3_SECRET_KEY') && names.has('DROPSTREAM_S3_CREDENTIALS_FILE'));
  const root = fileURLToPath(new URL('../../', import.meta.url));
  for (const folder of ['libs/storage', 'libs/native/simd', 'libs/engine'])
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((path) => /\.(ts|cc|h)$/.test(path))) {
      const text = readFileSync(join(root, folder, file), 'utf8');
      for (const name of names) if (text.includes(name)) names.delete(name);
    }
  assert.deepEqual([...names], []);
});

/** Who must reach whom: from the addresses among the options, and from KEDA's triggers. */
const callsOf = (objects: readonly KubeObject[]): { from: Pod | undefined; host: string; port: number }[] => [
  ...served(objects).flatMap(({ pod, argv }) =>
    argv.flatMap((arg) => {
      const [, host, port] = /^dns:\/\/\/([^:]+):(\d+)$/.exec(arg) ?? /endpoint=http:\/\/([^:]+):(\d+)/.exec(arg) ?? [];
      return host ? [{ from: pod, host, port: Number(port) }] : [];
    }),
  ),
  ...objects.flatMap(({ spec }) =>
    ((spec?.triggers ?? []) as { metadata: { scalerAddress: string } }[]).map(({ metadata }) => {
      const [host, port] = metadata.scalerAddress.split(':');
      return { from: undefined, host: host!, port: Number(port) };
    }),
  ),
];

test('every address is that of a service with pods behind it, and the network policies let callers through', { skip }, () => {
  for (const [name, objects] of renderings) {
    const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');
    const of = (pod: Pod) => policies.filter(({ spec }) => selects(spec.podSelector.matchLabels, pod.labels));
    for (const pod of podsOf(objects)) assert.equal(of(pod).length, 2, `${name}: ${pod.name} has the denial of everything, and its own`);
    const calls = callsOf(objects);
    assert.ok(calls.length >= 8, name);
    for (const { from, host, port } of calls) {
      const at = `${name}: ${from?.name ?? 'KEDA'} calls ${host}:${port}`;
      const service = objects.find(({ kind, metadata }) => kind === 'Service' && `${metadata.name}.${namespace}.svc` === host);
      assert.ok(service, at);
      const target = service.spec.ports.find((entry: { port: number }) => entry.port === port)?.targetPort as string;
      const behind = podsOf(objects).filter(({ labels }) => selects(service.spec.selector, labels));
      assert.equal(behind.length, 1, at);
      const open = behind[0]!.spec.containers[0].ports.find((entry: { name: string }) => entry.name === target);
      assert.equal(open?.containerPort, port, at);
      const fromPeer = from ? 'podSelector' : 'namespaceSelector';
      const lets = (rules: readonly Rule[], side: 'from' | 'to', labels: Pod['labels'], ports: readonly unknown[]) =>
        rules.some(
          (rule) =>
            // Without ports, a rule is about all of them.
            (rule.ports?.some((entry) => ports.includes(entry.port)) ?? true) &&
            (rule[side] ?? []).some(
              (peer) => peer[fromPeer] !== undefined && (!from || selects(peer.podSelector?.matchLabels ?? {}, labels)),
            ),
        );
      assert.ok(
        of(behind[0]!).some(({ spec }) => lets(spec.ingress ?? [], 'from', from?.labels ?? {}, [target, port])),
        `${at}: ingress`,
      );
      if (from)
        assert.ok(
          of(from).some(({ spec }) => lets(spec.egress ?? [], 'to', behind[0]!.labels, [port])),
          `${at}: egress`,
        );
    }
  }
});

interface Rule {
  readonly ports?: readonly { readonly port: string | number }[];
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
}
interface Peer {
  readonly podSelector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly namespaceSelector?: object;
}

test('everything has the standard labels, and everything in a workload is restricted', { skip }, () => {
  for (const [name, objects] of renderings) {
    for (const { kind, metadata } of objects)
      for (const label of ['name', 'instance', 'version', 'part-of', 'managed-by'])
        assert.ok(metadata.labels[`app.kubernetes.io/${label}`], `${name}: ${kind} ${metadata.name} has ${label}`);
    for (const { name: pod, spec } of podsOf(objects)) {
      assert.equal(spec.automountServiceAccountToken, false, pod);
      assert.equal(spec.securityContext.runAsNonRoot, true, pod);
      for (const { securityContext, resources } of [...spec.containers, ...(spec.initContainers ?? [])]) {
        assert.equal(securityContext.readOnlyRootFilesystem, true, pod);
        assert.ok(resources.limits.memory, `${pod} has a limit of memory`);
      }
    }
  }
});

test('alerts and dashboards of the chart are those of deploy/', { skip }, () => {
  const objects = renderings.get('ha-values.yaml')!;
  const rules = objects.find(({ kind }) => kind === 'PrometheusRule')!;
  const sources = readdirSync(deployPath('prometheus')).filter(
    (file) => file.endsWith('.rules.yaml') && file !== 'dashboard-queries.rules.yaml',
  );
  const groups = sources
    .sort()
    .flatMap((file) => (parse(readFileSync(deployPath(`prometheus/${file}`), 'utf8')) as { groups: object[] }).groups);
  assert.deepEqual(rules.spec.groups, groups);
  const dashboards = readdirSync(deployPath('grafana/dashboards'));
  const maps = objects.filter(({ metadata }) => metadata.labels.grafana_dashboard === '1');
  assert.equal(maps.length, dashboards.length);
  for (const { data } of maps)
    for (const [file, text] of Object.entries(data as Record<string, string>))
      assert.equal(text.trimEnd(), readFileSync(deployPath(`grafana/dashboards/${file}`), 'utf8').trimEnd(), file);
});
