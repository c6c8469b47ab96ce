// A project that may have one stream at a time gets its batches all the same, one after the other.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BatchClient, type BatchFailure } from '#data/client/batch-client.js';
import { ResourceExhausted } from '#errors/errors.js';
import { addressOf, dataReplicas, signal } from '../../test/support/data-replicas.js';

const { base, replica, plan } = await dataReplicas();

test('batches beyond the quota are asked for again, and none is lost', async () => {
  const path = join(base, 'quotas.json');
  writeFileSync(path, JSON.stringify({ version: 1, default: { streams: 1 } }));
  const failures: BatchFailure[] = [];
  const service = await replica('--quotas', path);
  const client = new BatchClient({ addresses: [addressOf(service)], inFlight: 4, onFailure: (failure) => failures.push(failure) });
  const got: number[] = [];
  for await (const { index, release } of client.batches({ plan: plan('folder'), epochs: 2, signal: signal() })) {
    got.push(index);
    release();
  }
  client.close();
  assert.deepEqual(got, [0, 1, 2, 3, 0, 1, 2, 3]);
  for (const { error } of failures) {
    assert.ok(error instanceof ResourceExhausted, String(error));
    assert.match(error.message, /the quota "streams" of project default .*the limit is 1 streams.* and 1 are in use/);
    assert.ok(error.retryAfterMs! > 0);
  }
  assert.ok(failures.length > 0, 'four were asked for at the same time');
});
