// How a service leaves: not ready at once, its workers stop at once, and whoever has not learned it yet is still answered.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HealthCheckResponse_ServingStatus, HealthClient } from '#protocol/grpc/health/v1/health.js';
import { silentLogger } from '#telemetry/logger.js';
import { connect } from './client.js';
import { defineConfig } from './config.js';
import { service, unary } from './handlers.js';
import { serviceOptions } from './service-options.js';
import { type RunningService, type ServiceParts, startService } from './start-service.js';

// Messages without fields.
const write = (): Buffer => Buffer.alloc(0);
const read = (): object => ({});
const codec = { requestSerialize: write, requestDeserialize: read, responseSerialize: write, responseDeserialize: read };
const definition = {
  echo: { path: '/test.v1.TestService/Echo' as const, requestStream: false as const, responseStream: false as const, ...codec },
};
const echoes = service(definition, { echo: {} }, { echo: unary(async (request) => request) });

const hour = '600000';
const in5s = { timeoutMs: 5000 };

async function start(parts: ServiceParts): Promise<RunningService> {
  const config = defineConfig('data', serviceOptions({ port: 0 })).parse({ argv: ['--drain-delay-ms', hour], env: {} });
  return await startService({ name: 'data', config, logger: silentLogger(), processMetrics: false, build: () => parts });
}

test('a service that leaves says so at once, stops its workers at once, and answers calls until its delay is over', async () => {
  const done: string[] = [];
  const running = await start({
    services: [echoes],
    drain: async () => void done.push('workers'),
    close: async () => void done.push('store'),
  });
  const address = `127.0.0.1:${running.port}`;
  const [health, client] = [connect(HealthClient, address), connect({ service: definition }, address, { retry: { attempts: 1 } })];
  const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${running.adminPort}/readyz`)).status;
  const status = async () => (await health.check({ service: '' }, in5s)).status;
  try {
    assert.deepEqual([await ready(), await status()], [200, HealthCheckResponse_ServingStatus.SERVING]);
    const left = running.drain();
    assert.deepEqual(done, ['workers']);
    assert.deepEqual([await ready(), await status()], [503, HealthCheckResponse_ServingStatus.NOT_SERVING]);
    await client.echo({}, in5s);
    assert.deepEqual(done, ['workers'], 'what calls need is still open');
    // Whoever does not want to wait ends the delay.
    await running.close();
    await left;
    assert.deepEqual(done, ['workers', 'store']);
    await assert.rejects(client.echo({}, in5s), /Unavailable|ECONNREFUSED|answer/);
  } finally {
    health.close();
    client.close();
  }
});

test('a process that nobody calls has no delay, and neither has one that is told so', async () => {
  await (await start({ services: [] })).drain();
  await (await start({ services: [echoes] })).drain({ delayMs: 0 });
});
