import assert from 'node:assert/strict';
import { test } from 'node:test';
import { traceSettings, wantsTraces } from './settings.js';

test('traces are exported where an endpoint or the exporter is named, unless they are turned off', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  const rows: [Record<string, string>, boolean][] = [
    [{}, false],
    [{ OTEL_TRACES_SAMPLER: 'always_on' }, false],
    [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://collector:4318' }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, false],
    [endpoint, true],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' }, true],
    [{ OTEL_TRACES_EXPORTER: 'otlp' }, true],
    [{ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }, false],
    [{ ...endpoint, OTEL_TRACES_EXPORTER: 'console' }, false],
    [{ ...endpoint, OTEL_SDK_DISABLED: 'TRUE' }, false],
    [{ ...endpoint, OTEL_SDK_DISABLED: 'false' }, true],
  ];
  for (const [env, wanted] of rows) assert.equal(wantsTraces(env), wanted, JSON.stringify(env));
});

test('a sampler is what the specification says; without one, a hundredth of the traces that nobody decided about', () => {
  const rows: [string, string, boolean, number][] = [
    ['', '', true, 0.01],
    ['always_on', '', false, 1],
    ['always_off', '', false, 0],
    ['traceidratio', '0.25', false, 0.25],
    ['traceidratio', '', false, 1],
    ['parentbased_always_on', '', true, 1],
    ['parentbased_always_off', '', true, 0],
    ['parentbased_traceidratio', '0.5', true, 0.5],
  ];
  for (const [sampler, argument, parentBased, ratio] of rows) {
    const settings = traceSettings({ OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: argument }, 0.01);
    assert.deepEqual(settings.sampler, { parentBased, ratio }, sampler);
    assert.deepEqual(settings.complaints, []);
  }
});

test('what cannot be used is named, and replaced by the default', () => {
  const settings = traceSettings(
    {
      OTEL_TRACES_SAMPLER: 'jaeger_remote',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'smoke',
      OTEL_BSP_MAX_QUEUE_SIZE: '-1',
      OTEL_BSP_SCHEDULE_DELAY: 'soon',
    },
    0.01,
  );
  assert.deepEqual(settings.sampler, { parentBased: true, ratio: 0.01 });
  assert.equal(settings.protocol, 'http/protobuf');
  assert.deepEqual([settings.maxQueueSize, settings.scheduledDelayMillis], [2048, 5000]);
  assert.equal(settings.complaints.length, 4);
  for (const name of ['OTEL_TRACES_SAMPLER', 'OTEL_EXPORTER_OTLP_PROTOCOL', 'OTEL_BSP_MAX_QUEUE_SIZE', 'OTEL_BSP_SCHEDULE_DELAY']) {
    assert.ok(
      settings.complaints.some((complaint) => complaint.startsWith(`${name} is `)),
      name,
    );
  }
  const ratio = traceSettings({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '7' }, 0.01);
  assert.deepEqual([ratio.sampler.ratio, ratio.complaints.length], [1, 1]);
});

test('the protocol of traces counts before that of all signals, and a batch fits into the queue', () => {
  const settings = traceSettings(
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc', OTEL_BSP_MAX_QUEUE_SIZE: '100' },
    1,
  );
  assert.deepEqual([settings.protocol, settings.maxQueueSize, settings.maxExportBatchSize], ['grpc', 100, 100]);
});
