/** One trace from the command line to the store, read back from OpenTelemetry's own receiver: real processes, a real run. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { type CollectedSpan, type Collector, collectorTool, startCollector } from '../support/collector.js';
import { cliFlags, cliPath, startService } from '../support/processes.js';
import { writeImageFolder } from '../support/sample-datasets.js';

const tool = await collectorTool();
const skip = 'skip' in tool && tool.skip;

let collector: Collector;
let folder: string;
before(async () => {
  if ('skip' in tool) return;
  folder = await mkdtemp(join(tmpdir(), 'dropstream-tracing-'));
  collector = await startCollector(tool.path);
});
after(async () => {
  await collector?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const rpc = (service: string, method: string) => `dropstream.v1.${service}/${method}`;
const secret = 'dst_0123456789ab_verysecretvalueofatoken';

test('a command, the run that it creates, a step with its batches, and what they ask of the store are one trace', { skip }, async (t) => {
  writeImageFolder(join(folder, 'tiny', 'train'), { perClass: 32 });
  writeImageFolder(join(folder, 'tiny', 'val'), { perClass: 8 });
  const store = join(folder, 'store');
  const tracing = (sampler: Record<string, string>) => ({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.http,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer ${secret}`,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    ...sampler,
  });
  const services = tracing({ OTEL_TRACES_SAMPLER: 'parentbased_always_off' });
  // The images are not below this root, so the data service reads those that were pushed into the store.
  const data = await startService(t, 'data', ['--store', store, '--root', await mkdtemp(join(folder, 'root-'))], services);
  const peers = ['--store', store, '--data', data.address];
  const evaluator = await startService(t, 'evaluator', [...peers, '--poll-ms', '100'], services);
  const trainer = ['--evaluator', evaluator.address, '--poll-ms', '100', ...peers];
  const api = await startService(t, 'trainer', ['--role', 'api', ...trainer], services);
  const worker = await startService(t, 'trainer', ['--role', 'worker', ...trainer], services);

  const push = async (split: string) => {
    const argv = ['data', 'push', join(folder, 'tiny'), '--split', split, '--store', store, '--json'];
    return (JSON.parse(await command(argv, {})) as { manifest: string }).manifest;
  };
  const [train, val] = [await push('train'), await push('val')];
  const images = ['--train-manifest', train, '--eval-manifest', val, '--input-size', '35'];
  const length = ['--batch-size', '16', '--update-freq', '2', '--epochs', '2', '--warmup-epochs', '0'];
  await command(['train', '--model', 'vit_nano_p7', ...images, ...length], {
    ...tracing({}),
    DROPSTREAM_TRAINER: api.address,
    DROPSTREAM_HOME: join(folder, 'home'),
  });
  // Each service sends its last spans when it ends.
  for (const service of [worker, api, evaluator, data]) assert.equal(await service.end('SIGTERM'), 0);
  const root = await collector.find('of the command', ({ name }) => name === 'dropstream train');
  const attempt = await collector.find('of the attempt', ({ name }) => name === 'attempt of run');

  const trace = collector.spans.filter(({ traceId }) => traceId === root.traceId);
  const byId = new Map(trace.map((span) => [span.spanId, span]));
  const above = (span: CollectedSpan): string[] => {
    const parent = byId.get(span.parentSpanId);
    return parent === undefined ? [] : [`${parent.service} ${parent.name}`, ...above(parent)];
  };
  const named = (name: string): CollectedSpan[] => trace.filter((span) => span.name === name);
  const [cli, apiName] = ['dropstream-cli', 'dropstream-trainer'];
  assert.equal(root.parentSpanId, '');
  assert.equal(root.attributes['process.exit.code'], 0);
  assert.deepEqual(
    trace.filter((span) => span.parentSpanId !== '' && !byId.has(span.parentSpanId)).map(({ name }) => name),
    [],
    'every parent has arrived',
  );

  const create = rpc('TrainerService', 'CreateRun');
  const toClaim = [`${apiName} ${create}`, `${cli} ${create}`, `${cli} dropstream train`];
  const [claim] = named('claim run');
  assert.deepEqual(above(claim!), toClaim);
  const toAttempt = [`${apiName} claim run`, ...toClaim];
  assert.deepEqual(above(attempt), toAttempt);
  assert.equal(attempt.attributes['dropstream.run.outcome'], 'trained');

  const steps = named('step');
  assert.deepEqual(
    steps.map(({ attributes }) => attributes['dropstream.step']),
    [0, 1],
    'later steps are not in the trace of the run',
  );
  const get = rpc('DataService', 'GetBatch');
  for (const step of steps) {
    assert.deepEqual(above(step), [`${apiName} attempt of run`, ...toAttempt]);
    assert.equal(step.links.length, 2, 'a step names its micro-batches');
    for (const { spanId } of step.links) {
      const fetched = byId.get(spanId)!;
      assert.equal(fetched.name, 'fetch batch');
      assert.ok(fetched.startMs <= step.startMs + 1, 'batches are fetched ahead');
      const made = named('make batch').find((span) => above(span)[2] === `${apiName} fetch batch` && descends(span, fetched, byId));
      assert.deepEqual(above(made!).slice(0, 3), [`dropstream-data ${get}`, `${apiName} ${get}`, `${apiName} fetch batch`]);
    }
  }
  const [served] = trace.filter((span) => span.name === get && span.kind === 'server');
  assert.equal(served!.attributes['rpc.response.status_code'], 'OK');

  const stored = trace.filter(({ name }) => name.startsWith('store '));
  const under = (kind: string, parent: string) =>
    stored.some((span) => span.attributes['dropstream.store.key_kind'] === kind && above(span).includes(parent));
  assert.ok(under('runs/log', `${apiName} ${create}`), 'the record of the creation');
  assert.ok(under('runs/log', `${apiName} claim run`), 'the record of the claim');
  assert.ok(under('datasets', `dropstream-data ${get}`), 'the images that the data service reads');
  assert.ok(under('runs/checkpoints', `${apiName} save checkpoint`), 'the parts of a checkpoint');
  assert.equal(named('attempt of evaluation').length, 2, 'the evaluations that the run asks for');
  assert.ok(stored.length < 200, `${stored.length} spans of the store: what happens all the time is not recorded`);

  const text = JSON.stringify(collector.spans);
  for (const hidden of [secret, folder]) assert.ok(!text.includes(hidden), `${hidden} is in no span`);
  const lines = worker.log().split('\n');
  const line = lines.find((one) => one.includes('the attempt ended'));
  const { trace_id, span_id } = JSON.parse(line!);
  assert.deepEqual([trace_id, span_id], [claim!.traceId, claim!.spanId], 'logs carry the ids');
});

function descends(span: CollectedSpan, from: CollectedSpan, byId: ReadonlyMap<string, CollectedSpan>): boolean {
  for (let at: CollectedSpan | undefined = span; at !== undefined; at = byId.get(at.parentSpanId)) if (at === from) return true;
  return false;
}

/** Runs `dropstream …` as a process. @returns its output @throws if it fails */
async function command(argv: string[], env: Record<string, string>): Promise<string> {
  const options = { env: { ...process.env, NODE_TEST_CONTEXT: '', ...env }, timeout: 120_000 };
  return (await promisify(execFile)(process.execPath, [...cliFlags, cliPath, ...argv], options)).stdout;
}
