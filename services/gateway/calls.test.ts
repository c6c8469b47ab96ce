// Calls through the gateway by fetch, as curl makes them, and by connect-web, before a real scheduler.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { Client, credentials, type Metadata } from '@grpc/grpc-js';
import { version } from '#telemetry/version.js';
import { Closers, gatewayFor, post, schedulerFor, schedulerOverHttp, webClient } from '../../test/support/gateway.js';
import { until } from '../../test/support/until.js';

const parent = 'projects/p';
const spec = { kind: 'DROP_KIND_DROP_PATH', rate: 0.5, mode: 'DROP_MODE_EARLY', schedule: 'DROP_SCHEDULE_LINEAR', cutoffEpoch: 2 };
const length = { epochs: 4, stepsPerEpoch: 5, depth: 3 };
const timeout = 60_000;

describe('calls before a scheduler', { timeout }, () => {
  const closers = new Closers();
  after(() => closers.close());
  let url: string;
  before(async () => {
    url = await schedulerOverHttp(closers);
  });

  test('JSON is that of the protos: enums by name, 64 bits and times as text, defaults left out', async () => {
    const { status, headers, body } = await post(url, 'SchedulerService/CreateSchedule', { parent, scheduleId: 'json', spec });
    assert.deepEqual([status, headers.get('content-type')], [200, 'application/json']);
    const { createTime, etag, uid, ...rest } = body.schedule;
    assert.deepEqual(rest, { name: `${parent}/schedules/json`, revision: '1', spec });
    assert.match(createTime, /^\d{4}-\d\d-\d\dT.*Z$/);
    assert.ok(etag.length > 0 && uid.length > 0);
    // Names of fields as in the protos, numbers of 64 bits as numbers, and fields that nobody knows, are taken, too.
    const rates = await post(url, 'SchedulerService/GetRates', {
      spec,
      length: { epochs: 4, steps_per_epoch: 5, depth: 3 },
      steps: [0, '3'],
      unknown: 1,
    });
    assert.deepEqual(
      rates.body.rates.map((rate: { step?: string }) => rate.step ?? '0'),
      ['0', '3'],
      JSON.stringify(rates.body),
    );
  });

  test('errors have the details of google.rpc, for programs and for people', async () => {
    const missing = await post(url, 'SchedulerService/GetSchedule', { name: `${parent}/schedules/none` });
    assert.deepEqual([missing.status, missing.body.code], [404, 'not_found']);
    const shown = Object.fromEntries(missing.body.details.map((d: { type: string; debug: unknown }) => [d.type, d.debug]));
    assert.equal((shown['google.rpc.ErrorInfo'] as { reason: string }).reason, 'NOT_FOUND');
    assert.equal((shown['google.rpc.ResourceInfo'] as { resourceName: string }).resourceName, `${parent}/schedules/none`);
    const wrong = await post(url, 'SchedulerService/CreateSchedule', { parent: 'nowhere', scheduleId: 'X', spec: { ...spec, rate: 7 } });
    assert.deepEqual([wrong.status, wrong.body.code], [400, 'invalid_argument']);
    assert.ok(wrong.body.details.some((d: { type: string }) => d.type === 'google.rpc.BadRequest'));
    const notJson = await post(url, 'SchedulerService/GetSchedule', '{"name": 7}');
    assert.deepEqual([notJson.status, notJson.body.code], [400, 'invalid_argument']);
    assert.equal((await post(url, 'TrainerService/GetRun', { name: 'x' })).body.code, 'unimplemented', 'no address of the trainer');
    assert.equal((await post(url, 'SchedulerService/Nothing', {})).status, 404);
  });

  test('connect-web calls, reads details, and watches until it leaves', async () => {
    const client = webClient(url, 'SchedulerService');
    const { schedule } = await client.createSchedule({ parent, scheduleId: 'web', spec: { kind: 1, rate: 0.25, mode: 1 } });
    assert.equal(schedule.revision, 1n);
    await assert.rejects(client.getSchedule({ name: `${parent}/schedules/none` }), (error: unknown) => {
      assert.ok(error instanceof ConnectError);
      assert.equal(error.code, Code.NotFound);
      assert.deepEqual(
        error.details.map((d) => ('type' in d ? d.type : '')),
        ['google.rpc.ErrorInfo', 'google.rpc.ResourceInfo'],
      );
      return true;
    });
    const leave = new AbortController();
    const seen: number[] = [];
    const watching = (async () => {
      for await (const { schedule: now } of client.watchSchedule({ name: schedule.name }, { signal: leave.signal }))
        seen.push(Number(now.revision));
    })();
    await until('the first revision', () => seen.length === 1);
    await client.updateSchedule({ name: schedule.name, spec: { rate: 0.5 }, updateMask: { paths: ['rate'] } });
    await until('the second revision', () => seen.length === 2);
    leave.abort();
    await assert.rejects(watching, (error: unknown) => ConnectError.from(error).code === Code.Canceled);
    assert.deepEqual(seen, [1, 2]);
  });

  test('the errors of streams come with their end', async () => {
    const client = webClient(url, 'SchedulerService');
    const first = client.watchSchedule({ name: `${parent}/schedules/none` })[Symbol.asyncIterator]();
    await assert.rejects(first.next(), (error: unknown) => ConnectError.from(error).code === Code.NotFound);
  });

  test('deadlines: the call ends with it, and one that cannot be is refused', async () => {
    const client = webClient(url, 'SchedulerService');
    const { schedule } = await client.createSchedule({ parent, scheduleId: 'late', spec: { kind: 1, rate: 0.25, mode: 1 } });
    const seen: unknown[] = [];
    const watching = (async () => {
      for await (const one of client.watchSchedule({ name: schedule.name }, { timeoutMs: 300 })) seen.push(one);
    })();
    await assert.rejects(watching, (error: unknown) => ConnectError.from(error).code === Code.DeadlineExceeded);
    assert.equal(seen.length, 1);
    for (const wrong of ['-1', 'soon', '99999999999'])
      assert.equal(
        (await post(url, 'SchedulerService/GetSchedule', {}, { 'connect-timeout-ms': wrong })).body.code,
        'invalid_argument',
        wrong,
      );
  });

  test('methods that change nothing are also GETs, and no others', async () => {
    const query = (message: object) => `encoding=json&message=${encodeURIComponent(JSON.stringify(message))}`;
    const listed = await fetch(`${url}/dropstream.v1.SchedulerService/ListSchedules?${query({ parent })}`);
    assert.equal(listed.status, 200);
    assert.ok(Array.isArray(((await listed.json()) as { schedules: unknown[] }).schedules));
    const client = webClient(url, 'SchedulerService', { useHttpGet: true });
    assert.ok((await client.listSchedules({ parent })).schedules.length > 0);
    const created = await fetch(`${url}/dropstream.v1.SchedulerService/CreateSchedule?${query({ parent })}`);
    assert.equal(created.status, 405);
  });

  test('HTTP/2 in plain text, with several calls on one connection, and the binary form', async () => {
    const session = connectHttp2(url);
    const call = async (body: object) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/dropstream.v1.SchedulerService/ListSchedules',
        'content-type': 'application/json',
      });
      stream.end(JSON.stringify(body));
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      return [headers[':status'], JSON.parse(Buffer.concat(chunks).toString())];
    };
    const answers = await Promise.all([call({ parent }), call({ parent: 'projects/q' }), call({ parent: 'nowhere' })]);
    assert.deepEqual(
      answers.map(([status]) => status),
      [200, 200, 400],
    );
    session.close();
    const binary = webClient(url, 'SchedulerService', { useBinaryFormat: true });
    assert.ok((await binary.listSchedules({ parent })).schedules.length > 0);
  });

  test('headers that gRPC cannot carry are refused, and a token is not repeated', async () => {
    const call = (headers: Record<string, string>) => post(url, 'SchedulerService/ListSchedules', { parent }, headers);
    const token = await call({ authorization: 'Bearer secr\u00e9t' });
    assert.deepEqual([token.status, token.body.code], [401, 'unauthenticated']);
    assert.ok(!JSON.stringify(token.body).includes('secr'), JSON.stringify(token.body));
    const project = await call({ 'dropstream-project': 'caf\u00e9' });
    assert.deepEqual([project.status, project.body.code], [400, 'invalid_argument']);
  });

  test('health is that of the service which is asked about', async () => {
    const check = (service: string) =>
      fetch(`${url}/grpc.health.v1.Health/Check`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ service }),
      });
    const scheduler = await check('dropstream.v1.SchedulerService');
    assert.deepEqual(await scheduler.json(), { status: 'SERVING' });
    assert.equal(scheduler.headers.get('dropstream-version'), version, 'of the service that answered');
    assert.equal((await check('dropstream.v1.Nothing')).status, 404);
  });

  test('a service sends its version before the messages of unary calls and of streams', async (t) => {
    const client = new Client(`127.0.0.1:${(await schedulerFor(t)).port}`, credentials.createInsecure());
    t.after(() => client.close());
    const same = (bytes: Buffer) => bytes;
    const ofUnary = client.makeUnaryRequest('/grpc.health.v1.Health/Check', same, same, Buffer.alloc(0), () => {});
    const ofStream = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, Buffer.alloc(0));
    ofStream.on('error', () => {});
    for (const call of [ofUnary, ofStream]) {
      const [headers] = (await once(call, 'metadata', { signal: AbortSignal.timeout(20_000) })) as [Metadata];
      assert.deepEqual(headers.get('dropstream-version'), [version]);
    }
    ofStream.cancel();
  });

  test('calls have the metrics that they have at a service, by method and code', async (t) => {
    const scheduler = await schedulerFor(t);
    const gateway = await gatewayFor(t, ['--scheduler', `127.0.0.1:${scheduler.port}`]);
    await post(`http://127.0.0.1:${gateway.port}`, 'SchedulerService/GetSchedule', { name: `${parent}/schedules/none` });
    const scraped = async (port: number) => await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const handled = /^grpc_server_handled_total\{(?=[^}]*grpc_method="GetSchedule")(?=[^}]*grpc_code="NOT_FOUND")[^}]*\} 1$/m;
    await until('the call to be counted by both', async () =>
      (await Promise.all([gateway, scheduler].map(({ adminPort }) => scraped(adminPort)))).every((text) => handled.test(text)),
    );
    assert.match(await scraped(gateway.adminPort), /^dropstream_gateway_http_requests_total\{kind="call",http_version="1.1"\} 1$/m);
  });

  test('a service that is not reached is UNAVAILABLE, without its place', async (t) => {
    const scheduler = await schedulerFor(t);
    const gateway = await gatewayFor(t, ['--scheduler', `127.0.0.1:${scheduler.port}`]);
    const away = `http://127.0.0.1:${gateway.port}`;
    const ask = () => post(away, 'SchedulerService/GetRates', { spec, length, steps: [0] });
    assert.equal((await ask()).status, 200);
    await scheduler.close();
    const { status, body } = await ask();
    assert.deepEqual([status, body.code], [503, 'unavailable']);
    assert.ok(!JSON.stringify(body).includes(String(scheduler.port)), JSON.stringify(body));
    assert.ok(body.details.some((d: { type: string }) => d.type === 'google.rpc.RetryInfo'));
  });

  test('draining ends watches with UNAVAILABLE, so that they go on elsewhere', async (t) => {
    const scheduler = await schedulerFor(t);
    const gateway = await gatewayFor(t, ['--scheduler', `127.0.0.1:${scheduler.port}`]);
    const client = webClient(`http://127.0.0.1:${gateway.port}`, 'SchedulerService');
    const { schedule } = await client.createSchedule({ parent, scheduleId: 'drain', spec: { kind: 1, rate: 0.25, mode: 1 } });
    const seen: unknown[] = [];
    const watching = (async () => {
      for await (const one of client.watchSchedule({ name: schedule.name })) seen.push(one);
    })();
    const ended = assert.rejects(watching, (error: unknown) => ConnectError.from(error).code === Code.Unavailable);
    await until('the first revision', () => seen.length === 1);
    await gateway.drain({ delayMs: 0, graceMs: 5000 });
    await ended;
  });
});
