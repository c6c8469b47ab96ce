import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gauge } from 'prom-client';
import { metricsPage, prefersOpenMetrics } from './exposition.js';
import { createGrpcServerMetrics, grpcMethod } from './grpc-metrics.js';
import { createLogger } from './logger.js';
import { createRegistry } from './metrics.js';
import { prettyLine } from './pretty-line.js';
import { removeSeries } from './run-series.js';
import { activeSpan, childSpan, formatTraceparent, parseTraceparent, runWithSpan } from './tracing.js';

test('lines are JSON with service and bound ids; secrets are redacted', () => {
  const lines: string[] = [];
  const logger = createLogger({ service: 'trainer', level: 'info', destination: { write: (l) => lines.push(l) } });
  logger
    .child({ project: 'p', run: 'r', step: 3, trace_id: 't' })
    .info({ store: { secretKey: 'x1', bucket: 'b' }, password: 'x2' }, 'step');
  logger.debug('hidden');
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0]!);
  assert.equal(line.service, 'trainer');
  assert.equal(line.level, 'info');
  assert.deepEqual([line.project, line.run, line.step, line.trace_id, line.msg], ['p', 'r', 3, 't', 'step']);
  assert.equal(line.store.bucket, 'b');
  assert.doesNotMatch(lines[0]!, /x1|x2/);
});

test('text lines show level, message, fields and the stack of an error', () => {
  const lines: string[] = [];
  const logger = createLogger({ service: 'data', level: 'info', format: 'text', destination: { write: (l) => lines.push(l) } });
  logger.error({ error: new Error('boom'), path: 'a' }, 'failed');
  assert.match(lines[0]!, /^\d\d:\d\d:\d\d\.\d{3} ERROR data failed path=a\nError: boom\n/);
  assert.equal(prettyLine('not json\n'), 'not json\n');
});

test('every method has its series at zero before the first call, and calls are counted once', async () => {
  const registry = createRegistry({ service: 's', version: '1', process: false });
  const metrics = createGrpcServerMetrics(registry);
  const method = grpcMethod('/dropstream.v1.SchedulerService/WatchSchedule', false, true);
  metrics.initialise(method);
  const labels = 'grpc_type="server_stream",grpc_service="dropstream.v1.SchedulerService",grpc_method="WatchSchedule"';
  let page = await registry.metrics();
  assert.ok(page.includes(`grpc_server_started_total{${labels}} 0`));
  assert.ok(page.includes(`grpc_server_handled_total{${labels},grpc_code="OK"} 0`));
  assert.ok(page.includes(`grpc_server_handling_seconds_count{${labels}} 0`));
  const call = metrics.begin(method);
  call.received();
  call.sent();
  call.sent();
  call.handled('NOT_FOUND');
  call.handled('OK');
  page = await registry.metrics();
  assert.ok(page.includes(`grpc_server_msg_sent_total{${labels}} 2`));
  assert.ok(page.includes(`grpc_server_handled_total{${labels},grpc_code="NOT_FOUND"} 1`));
  assert.ok(page.includes(`grpc_server_handled_total{${labels},grpc_code="OK"} 0`));
  assert.ok(page.includes('dropstream_build_info{service="s",version="1"'));
});

test('a scraper gets OpenMetrics with exemplars if it prefers that, and everybody else the text as before', async () => {
  const registry = createRegistry({ service: 's', version: '1' });
  const method = grpcMethod('/dropstream.v1.SchedulerService/GetRates', false, false);
  createGrpcServerMetrics(registry).begin(method).handled('OK', 'a'.repeat(32));
  const before = (await metricsPage(registry, undefined)).text;
  const open = await metricsPage(registry, 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5');
  assert.match(open.contentType, /^application\/openmetrics-text; version=1\.0\.0/);
  assert.match(open.text, /^# TYPE grpc_server_handled counter$/m);
  assert.match(open.text, /^grpc_server_handled_total\{.*grpc_code="OK"\} 1$/m);
  assert.match(open.text, /^grpc_server_handling_seconds_bucket\{.*\} 1 # \{trace_id="a{32}"\} \S+ \d+(\.\d+)?$/m);
  assert.ok(open.text.endsWith('\n# EOF\n'));
  const after = await metricsPage(registry, '*/*');
  assert.match(after.contentType, /^text\/plain; version=0\.0\.4/);
  assert.doesNotMatch(after.text, /EOF|trace_id/);
  const names = (page: string) => page.match(/^# TYPE .*$/gm);
  assert.deepEqual(names(after.text), names(before), 'the other format leaves names as they are');
  assert.match(after.text, /^# TYPE grpc_server_handled_total counter$/m);
});

test('what a scraper prefers is what it gives the greatest weight', () => {
  const open = 'application/openmetrics-text';
  for (const accept of [open, `${open};version=1.0.0;q=0.6,text/plain;q=0.5,*/*;q=0.1`, `text/plain, ${open}`, open.toUpperCase()])
    assert.ok(prefersOpenMetrics(accept), accept);
  for (const accept of [
    undefined,
    '',
    '*/*',
    'text/html,*/*',
    `${open};q=0.4,text/plain`,
    `${open};q=0`,
    `${open};q=x`,
    `${open};q=2,text/plain;q=0.1`,
  ])
    assert.ok(!prefersOpenMetrics(accept), accept);
});

test('no series of the process is named like a counter without being one', async () => {
  const page = await createRegistry({ service: 's', version: '1' }).metrics();
  for (const [, name, type] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) assert.equal(name!.endsWith('_total'), type === 'counter', name);
  assert.match(page, /nodejs_eventloop_lag_seconds/);
});

test("a run's series go, others stay", async () => {
  const registry = createRegistry({ service: 's', version: '1', process: false });
  const loss = new Gauge({ name: 'dropstream_loss', help: 'x', labelNames: ['project', 'run', 'kind'], registers: [registry] });
  loss.set({ project: 'p', run: 'a', kind: 'train' }, 1);
  loss.set({ project: 'p', run: 'a', kind: 'test' }, 2);
  loss.set({ project: 'p', run: 'b', kind: 'train' }, 3);
  loss.set({ project: 'q', run: 'a', kind: 'train' }, 4);
  assert.equal(await removeSeries(registry, { project: 'p', run: 'a' }), 2);
  assert.deepEqual(
    (await loss.get()).values.map((v) => v.value),
    [3, 4],
  );
});

test('traceparent is read, written and carried through asynchronous work', async () => {
  const header = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const span = parseTraceparent(header);
  assert.ok(span);
  assert.equal(formatTraceparent(span), header);
  const zero = `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`;
  for (const bad of [undefined, '', 'x', zero, header.toUpperCase(), `${header}-x`, `ff${header.slice(2)}`]) {
    assert.equal(parseTraceparent(bad), undefined);
  }
  const child = childSpan(span);
  assert.equal(child.traceId, span.traceId);
  assert.notEqual(child.spanId, span.spanId);
  assert.equal(activeSpan(), undefined);
  await runWithSpan(child, async () => {
    await new Promise((done) => setImmediate(done));
    assert.equal(activeSpan(), child);
  });
});
