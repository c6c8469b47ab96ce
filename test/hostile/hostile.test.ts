/** The harness itself: requests are the same for the same seed, cover what they should, and planted faults are found. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Client, credentials, status } from '@grpc/grpc-js';
import { GetScheduleRequest } from '#protocol/dropstream/v1/scheduler.js';
import { CreateRunRequest } from '#protocol/dropstream/v1/trainer.js';
import { serverStream, service, unary } from '#rpc/handlers.js';
import { createServer } from '#rpc/server.js';
import { silentLogger } from '#telemetry/logger.js';
import { createRegistry } from '#telemetry/metrics.js';
import { Damage } from '../fuzz/mutate.js';
import { everyService } from '../support/every-service.js';
import { attack, wrong } from './attack.js';
import { mutateRequest } from './mutate-request.js';
import { Schema } from './schema.js';
import { encode, parse } from './wire.js';

const schema = Schema.read();
const METHOD = 'dropstream.v1.SchedulerService/GetSchedule';
const seed = parse(
  schema,
  schema.requests.get(METHOD)!,
  GetScheduleRequest.encode({ name: 'projects/p/schedules/s', revision: 2n }).finish(),
);

test('a message is written as it was read', () => {
  const request = CreateRunRequest.fromPartial({
    parent: 'projects/p',
    spec: { model: 'm', lr: 0.5, optBetas: [0.1, 0.2], seed: 2n ** 63n, warmupSteps: -1n },
    labels: { a: 'b', c: '' },
  });
  const bytes = Buffer.from(CreateRunRequest.encode(request).finish());
  assert.deepEqual(encode(parse(schema, '.dropstream.v1.CreateRunRequest', bytes)), bytes);
});

test('equal seeds make equal requests, others make others, and many can still be decoded', () => {
  const make = (number: number, of = 1n) => mutateRequest(schema, new Damage(of, number), [seed], ['projects/p/runs/r', 'token']);
  const made = Array.from({ length: 500 }, (_, number) => make(number));
  assert.deepEqual(
    made,
    made.map((_, number) => make(number)),
  );
  assert.notDeepEqual(
    made,
    made.map((_, number) => make(number, 2n)),
  );
  assert.ok(new Set(made.map((bytes) => bytes.toString('hex'))).size > 300);
  const decodable = made.filter((bytes) => {
    try {
      return GetScheduleRequest.decode(bytes) !== undefined;
    } catch {
      return false;
    }
  });
  assert.ok(decodable.length > 200 && decodable.length < 500, `${decodable.length}`);
});

/** All methods of the scheduler do `work`. */
async function attacked(work: () => Promise<never>) {
  const { definition, names } = everyService.find(({ name }) => name === 'SchedulerService')!;
  const failing = { next: work, [Symbol.asyncIterator]: () => failing };
  const handlers = Object.entries(definition).map(([key, { responseStream }]) => [
    key,
    responseStream ? serverStream(() => failing) : unary(work),
  ]);
  const server = createServer({
    services: [service(definition, names as never, Object.fromEntries(handlers) as never)],
    registry: createRegistry({ service: 'test', version: '0', process: false }),
    logger: silentLogger(),
  });
  await server.start();
  after(() => server.close());
  const connect = () => new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
  return await attack({
    ...{ schema, connect, seeds: [seed], names: ['projects/p/runs/r'], tokens: {}, mutations: 60, seed: 1n, secrets: [] },
    method: { name: METHOD, requestStream: false, responseStream: false, watches: false },
    aftermath: undefined,
    died: () => undefined,
  });
}

test('a handler that throws what nobody expects is found', async () => {
  const { faults } = await attacked(async () => {
    throw new TypeError('planted');
  });
  assert.ok(faults.length > 0);
  assert.match(faults[0]!, /INTERNAL.*request \(base64\): /s);
});

test('a handler that hangs is found', async () => {
  const { faults } = await attacked(() => new Promise(() => {}));
  assert.ok(faults.some((fault) => /no end within 1000 ms/.test(fault)));
});

test('an answer that shows places is found', () => {
  const said = (text: string) => wrong({ code: status.NOT_FOUND, details: text, said: text }, ['/srv/secret']);
  assert.match(said('no /srv/secret/x')!, /shows/);
  assert.match(said('x\n    at f (file:///a.js:1:2)')!, /shows/);
  assert.equal(said('schedule projects/p/schedules/s does not exist'), undefined);
});
