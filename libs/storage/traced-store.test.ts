import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { inSpan, recordWith } from '#telemetry/spans.js';
import { runWithSpan, unsampled } from '#telemetry/tracing.js';
import { parseKey } from '../../services/cli/store-check/key-grammar.js';
import { DirectoryStore } from './directory-store.js';
import { kindOfKey } from './key-kinds.js';
import { ObjectExists, ObjectNotFound, type ObjectStore } from './object-store.js';
import { tracedStore } from './traced-store.js';

const exporter = new InMemorySpanExporter();
let folder: string;
let inner: ObjectStore;
beforeEach(async () => {
  exporter.reset();
  folder = await mkdtemp(join(tmpdir(), 'dropstream-traced-'));
  inner = await DirectoryStore.open(join(folder, 'store'));
  recordWith(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }).getTracer('test'));
});
afterEach(async () => {
  recordWith(undefined);
  await inner.close();
  await rm(folder, { recursive: true, force: true });
});
const spans = () => exporter.getFinishedSpans().filter(({ name }) => name.startsWith('store '));

const uid = 'a'.repeat(32);
const record = `projects/secret-project/runs/secret-run/${uid}/log/000000000001`;

test('operations of recorded work are spans with the kind of their object and their size, and without names', async () => {
  const store = tracedStore(inner);
  await inSpan('work', {}, async () => {
    await store.put(record, Buffer.from('12345'), { ifAbsent: true });
    assert.equal((await store.get(record)).bytes.toString(), '12345');
    assert.equal((await store.list('projects/secret-project/runs/')).objects.length, 1);
    await assert.rejects(store.put(record, Buffer.from('x'), { ifAbsent: true }), ObjectExists);
    await assert.rejects(store.head('manifests/none'), ObjectNotFound);
    await store.delete(record);
  });
  const seen = spans().map(({ name, attributes, status }) => {
    const of = (key: string) => attributes[`dropstream.store.${key}`];
    return [name, of('key_kind'), of('bytes') ?? of('objects') ?? of('answer'), status.code];
  });
  assert.deepEqual(seen, [
    ['store put', 'runs/log', 5, 0],
    ['store get', 'runs/log', 5, 0],
    ['store list', 'runs', 1, 0],
    ['store put', 'runs/log', 1, 0],
    ['store head', 'manifests', 'not found', 0],
    ['store delete', 'runs/log', undefined, 0],
  ]);
  assert.doesNotMatch(JSON.stringify(spans().map(({ attributes, status }) => [attributes, status])), /secret|dropstream-traced/);
});

test('what belongs to nothing that is recorded has no span, and of much only the beginning has', async () => {
  const store = tracedStore(inner);
  await store.put(record, Buffer.from('x'));
  await inSpan('work', {}, ({ context }) => runWithSpan(unsampled(context), () => store.get(record)));
  assert.equal(spans().length, 0);
  await inSpan('work', {}, async () => {
    for (let k = 0; k < 100; k++) await store.get(record);
  });
  assert.equal(spans().length, 32);
  recordWith(undefined);
  assert.equal(tracedStore(inner), inner, 'without traces, the store is what it was');
});

test('the kind of every key says what it is without naming anything', () => {
  const sha256 = 'b'.repeat(64);
  const entry = `r-${uid}`;
  const rows: [string, string][] = [
    ['projects/p/runs/r/incarnations/00000001.json', 'runs/incarnations'],
    [`projects/p/evaluations/e/${uid}/log/000000000001`, 'evaluations/log'],
    [`projects/p/runs/r/${uid}/log-snapshots/000000000001`, 'runs/log-snapshots'],
    [`projects/p/runs/r/${uid}/heartbeats/000000000001`, 'runs/heartbeats'],
    [`projects/p/runs/r/${uid}/checkpoints/000000000001-0123abcd/manifest.json`, 'runs/checkpoints'],
    [`projects/p/runs/r/${uid}/checkpoint-pins/000000000001-0123abcd/${uid}`, 'runs/checkpoint-pins'],
    [`projects/p/schedules/s/${uid}/revisions/000000000001.json`, 'schedules/revisions'],
    [`projects/p/index/runs/${entry}`, 'index'],
    [`projects/p/manifests/${sha256}`, 'manifests'],
    ['projects/p/none-of-01/schedules', 'none-of-01'],
    [`run-queue/p/${entry}`, 'run-queue'],
    [`evaluation-queue/p/${entry}`, 'evaluation-queue'],
    [`run-waiting/claim-5000/p/${entry}_1764500000000`, 'run-waiting'],
    [`evaluation-waiting/claim-5000/p/${entry}_1764500000000`, 'evaluation-waiting'],
    ['run-waiting/looked', 'run-waiting'],
    [`manifests/${sha256}`, 'manifests'],
    [`manifest-locations/${sha256}`, 'manifest-locations'],
    [`datasets/objects/bb/${sha256}`, 'datasets'],
  ];
  for (const [key, kind] of rows) {
    assert.ok(parseKey(key), `${key} is a key`);
    assert.equal(kindOfKey(key), kind);
  }
  assert.equal(kindOfKey('projects/'), 'projects');
  assert.equal(kindOfKey('probe-0123'), 'other');
  // A name that looks like a part of a key.
  assert.equal(kindOfKey(`projects/runs/runs/log/${uid}/log/000000000001`), 'runs/log');
});
