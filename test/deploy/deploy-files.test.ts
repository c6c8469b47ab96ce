import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dataConfig } from '../../services/data/config.js';
import { evaluatorConfig } from '../../services/evaluator/config.js';
import { gatewayConfig } from '../../services/gateway/config.js';
import { schedulerConfig } from '../../services/scheduler/config.js';
import { trainerConfig } from '../../services/trainer/config.js';
import { deployPath } from './dashboard-queries.js';

/** Each service's options, and its ports. */
const configs = {
  gateway: { parse: gatewayConfig.parse, usual: [7010, 8010] },
  data: { parse: dataConfig.parse, usual: [7011, 8011] },
  scheduler: { parse: schedulerConfig.parse, usual: [7012, 8012] },
  trainer: { parse: trainerConfig.parse, usual: [7013, 8013] },
  evaluator: { parse: evaluatorConfig.parse, usual: [7014, 8014] },
};

test('the image has neither root nor a compiler in its final stage', () => {
  const stages = readFileSync(deployPath('Dockerfile'), 'utf8')
    .split(/^FROM /m)
    .slice(1);
  const stage = (name: string) => stages.find((text) => text.slice(0, text.indexOf('\n')).endsWith(` AS ${name}`))!;
  assert.match(stages.at(-1)!, /^run AS cpu\s*$/, 'what is built without --target');
  const final = stage('run');
  assert.match(final, /^node:24-bookworm-slim AS run\n/);
  assert.match(final, /^USER 1000:1000$/m, "a number, for Kubernetes' runAsNonRoot");
  const packages = /apt-get install -y --no-install-recommends (.*?) \\\n/.exec(final)?.[1];
  assert.equal(packages, 'libgloo0', 'all that the base image lacks');
  assert.doesNotMatch(final, /g\+\+|npm /);
  assert.match(final, /libs\/protocol\/descriptors\.binpb/, 'reflection reads it');
  const gpu = stage('gpu');
  assert.match(gpu, /^run AS gpu\n/);
  assert.equal(gpu.match(/^USER .*$/gm)?.at(-1), 'USER 1000:1000', 'root only installs');
  assert.match(gpu, /libvulkan1/);
  assert.match(gpu, /NVIDIA_DRIVER_CAPABILITIES=graphics,compute/);
  assert.doesNotMatch(gpu, /g\+\+|npm /);
});

/** Its services by name, as text; `<<: *service` stands for the block `x-service`. */
function composeServices(): Map<string, string> {
  const text = readFileSync(deployPath('compose.yaml'), 'utf8');
  const shared = /^x-service: .*\n((?: {2}.*\n|\n)+)/m.exec(text)![1]!;
  const services = text.slice(text.indexOf('\nservices:\n'), text.indexOf('\nvolumes:\n'));
  return new Map(
    services
      .split(/^ {2}(?=[\w-]+:$)/m)
      .slice(1)
      .map((block) => [block.slice(0, block.indexOf(':')), block.includes('<<: *service') ? `${block}\n${shared}` : block]),
  );
}

const publishes = (port: string): RegExp => new RegExp(`127\\.0\\.0\\.1:${port}:${port}`);

test('what the compose file gives a service is what the service takes', async () => {
  const services = composeServices();
  const served = [...services].flatMap(([name, block]) => {
    const [, service, line] = /^ {4}command: serve (\w+)(.*)$/m.exec(block) ?? [];
    return service === undefined ? [] : [{ name, service, argv: line!.trim().split(/\s+/).filter(Boolean), block }];
  });
  assert.deepEqual([...new Set(served.map(({ service }) => service))].sort(), Object.keys(configs).sort());
  for (const { name, service, argv, block } of served) {
    const { parse, usual } = configs[service as keyof typeof configs];
    const env = Object.fromEntries(
      [...block.matchAll(/^ {4}(DROPSTREAM_\w+): (?:&\w+ )?"?([^"\n]+)"?$/gm)].map(([, key, value]) => [key!, value!]),
    );
    const config = parse({ argv, env });
    assert.equal(config.host, '0.0.0.0', name);
    assert.equal(config.adminHost, '0.0.0.0', name);
    assert.deepEqual([config.allowRemote, config.allowAnonymous], [true, true], name);
    if ('store' in config) assert.match(config.store, /^s3:\/\/dropstream\?/, name);
    assert.deepEqual([config.port, config.adminPort], usual, name);
    assert.match(block, new RegExp(`http://127\\.0\\.0\\.1:${config.adminPort}/readyz`), `${name}: its health check`);
    for (const [, host, port] of argv.join(' ').matchAll(/ ([\w-]+):(\d+)/g)) {
      assert.match(services.get(host!) ?? '', publishes(port!), `${name} calls ${host}:${port}`);
    }
    for (const [, port] of argv.join(' ').matchAll(/ http:\/\/127\.0\.0\.1:(\d+)/g))
      assert.ok(
        [...services.values()].some((other) => publishes(port!).test(other)),
        `${name} sends browsers to port ${port} of this machine`,
      );
    for (const option of ['data', 'scheduler', 'evaluator'])
      if (option in config) assert.notEqual(String((config as Record<string, unknown>)[option]), '', `${name} has --${option}`);
    const grace = Number(/stop_grace_period: (\d+)s/.exec(block)![1]);
    const drainMs = config.drainDelayMs + config.drainMs;
    assert.ok(grace * 1000 > drainMs, `${name} is killed after ${grace} s and drains for ${drainMs} ms`);
  }
});

test('there is no password in the compose file, and ports are on loopback', () => {
  const compose = readFileSync(deployPath('compose.yaml'), 'utf8');
  for (const [line] of compose.matchAll(/^.*PASSWORD.*$/gm)) assert.doesNotMatch(line, /PASSWORD:-|PASSWORD: [^*$]/);
  assert.match(compose, /SECRET_KEY: &password \$\{MINIO_ROOT_PASSWORD:\?/);
  for (const [, ports] of compose.matchAll(/^ {4}ports: \[(.*)\]$/gm))
    for (const port of ports!.split(', ')) assert.match(port, /^"127\.0\.0\.1:/);
  for (const file of ['.gitignore', 'Dockerfile.dockerignore']) assert.match(readFileSync(deployPath(file), 'utf8'), /^(\*\*\/)?\.env$/m);
});

test('every file that the compose file mounts exists', () => {
  const compose = readFileSync(deployPath('compose.yaml'), 'utf8');
  const mounts = [...compose.matchAll(/- (\.\/[\w/.-]+):/g)].map(([, path]) => path!);
  assert.ok(mounts.length >= 3);
  for (const path of mounts)
    assert.ok(fileURLToPath(new URL(path, `file://${deployPath('compose.yaml')}`)).length > 0 && exists(path), path);
});

function exists(path: string): boolean {
  try {
    readFileSync(deployPath(path));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EISDIR';
  }
}
