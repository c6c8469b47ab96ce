import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { DecidingSampler } from './otlp/sampler.js';
import { inSpan, isTracing, recordWith, startSpan } from './spans.js';
import {
  activeSpan,
  carried,
  childSpan,
  isSampled,
  isUndecided,
  receivedSpan,
  recorded,
  runWithSpan,
  type SpanContext,
  spanOfRecord,
} from './tracing.js';

const exporter = new InMemorySpanExporter();
const record = (ratio: number, parentBased = true): void => {
  const sampler = new DecidingSampler({ parentBased, ratio });
  recordWith(new TracerProvider({ sampler, spanProcessors: [new SimpleSpanProcessor({ exporter })] }).getTracer('test'));
};
beforeEach(() => exporter.reset());
afterEach(() => recordWith(undefined));

/** What a process that receives a call knows of the caller's span. */
const over = (span: SpanContext): SpanContext => receivedSpan((key) => carried(span)[key])!;

test('without a tracer, spans have ids of one trace and leave its recording to others', async () => {
  assert.equal(isTracing(), false);
  const span = startSpan('a', { parent: 'none' });
  assert.ok(isUndecided(span.context));
  const child = childSpan(over(span.context));
  assert.equal(child.traceId, span.context.traceId);
  assert.ok(isUndecided(child), 'a process in between passes it on');
  await runWithSpan(span.context, () => inSpan('b', {}, async () => assert.equal(activeSpan(), span.context)));
});

test('what nobody has decided is decided by the first that records, and the others follow', () => {
  const open = over(childSpan(undefined));
  record(1);
  const first = startSpan('first', { parent: open });
  assert.ok(first.recorded && isSampled(first.context) && !isUndecided(first.context));
  record(0);
  const second = startSpan('second', { parent: over(first.context) });
  assert.ok(second.recorded, 'its parent is recorded');
  const refused = startSpan('third', { parent: open });
  assert.ok(!refused.recorded && !isUndecided(refused.context));
  record(1);
  assert.equal(startSpan('fourth', { parent: over(refused.context) }).recorded, false, 'a decision holds');
  assert.equal(
    startSpan('fifth', { parent: over({ ...open, traceState: undefined as never }) }).recorded,
    false,
    'so does that of a stranger',
  );
  record(1, false);
  assert.equal(startSpan('sixth', { parent: over(refused.context) }).recorded, true, 'unless the sampler does not ask parents');
});

test('services with one ratio decide alike about a trace', () => {
  for (let k = 0; k < 200; k++) {
    const open = over(childSpan(undefined));
    record(0.3);
    const here = startSpan('here', { parent: open }).recorded;
    record(0.3);
    assert.equal(startSpan('there', { parent: open }).recorded, here);
  }
});

test('the state of strangers is passed on, and one that is too long is left out', () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const received = (tracestate: string) => receivedSpan((key) => ({ traceparent, tracestate })[key])!;
  record(1);
  const span = startSpan('a', { parent: received('vendor=x,dropstream=undecided') });
  assert.equal(carried(span.context).tracestate, 'vendor=x');
  assert.equal(received(`vendor=${'x'.repeat(600)}`).traceState, undefined);
});

test('a record keeps the place in a trace; one without leads to none', () => {
  const span = childSpan(undefined);
  const kept = spanOfRecord(JSON.parse(JSON.stringify(recorded(span))));
  assert.ok(kept && kept.spanId === span.spanId && isUndecided(kept));
  for (const none of [undefined, { traceparent: '', tracestate: '' }, recorded(undefined)]) assert.equal(spanOfRecord(none), undefined);
});

test('an error is that of the span; secrets and places are in none', async () => {
  record(1);
  const token = 'dst_0123456789ab_secretsecretsecret';
  const work = inSpan('work', { attributes: { url: `http://user:${token}@host/x`, missing: undefined } }, async (span) => {
    span.set({ header: `Bearer ${token}`, count: 3 });
    throw new RangeError(`no room in /home/someone/store for ${token}`);
  });
  await assert.rejects(work, RangeError);
  const [span] = exporter.getFinishedSpans();
  assert.equal(span!.name, 'work');
  assert.equal(span!.attributes.count, 3);
  assert.equal(span!.attributes['error.type'], 'RangeError');
  assert.ok(!('missing' in span!.attributes));
  const text = JSON.stringify([span!.attributes, span!.status]);
  for (const hidden of ['secretsecret', '/home/someone']) assert.ok(!text.includes(hidden), text);
});
