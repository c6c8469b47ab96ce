// Data sets belong to projects: what a project has not indexed does not exist for it, and folders may be for some projects only.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Role } from '#auth/policy.js';
import { createToken } from '#auth/tokens.js';
import { NotFound, PermissionDenied } from '#errors/errors.js';
import { DataServiceClient } from '#protocol/dropstream/v1/data.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { addressOf, connectTo, dataReplicas, signal } from '../../test/support/data-replicas.js';
import { writeImageFolder } from '../../test/support/sample-datasets.js';

const { base, root, client, replica, index, plan, getBatch, manifests } = await dataReplicas();
const [theirs, ours] = [join(root, 'theirs'), join(root, 'ours')];
writeImageFolder(theirs, { perClass: 7 });
const secret = await index(theirs, '', 'theirs');
const absent = 'ab'.repeat(32);

/** Every call that reads a data set. */
const calls = (of: typeof client, parent: string, manifest: string) => ({
  describeDataset: () => of.describeDataset({ parent, dataset: { manifest } }, { signal: signal() }),
  getBatch: () => getBatch({ parent, plan: plan(manifest), epoch: 0, index: 0 }, of),
  previewBatch: () => of.previewBatch({ parent, plan: plan(manifest), limit: 1 }, { signal: signal() }),
});

async function errorOf(call: () => Promise<unknown>): Promise<Error> {
  return await call().then(
    () => assert.fail('it was answered'),
    (error: Error) => error,
  );
}

test('a data set of another project is not found, with the very words for one that nobody has', async () => {
  for (const parent of ['projects/ours', 'projects/default', ''])
    for (const [name, call] of Object.entries(calls(client, parent, secret))) {
      const [error, other] = [await errorOf(call), await errorOf(calls(client, parent, absent)[name as 'getBatch'])];
      assert.ok(error instanceof NotFound && error.resource === secret, `${name}: ${error}`);
      assert.equal(error.message, other.message.replaceAll(absent, secret));
    }
  for (const call of Object.values(calls(client, 'projects/theirs', secret))) await call();
  // Also while it is open for the project that has it.
  for (const call of Object.values(calls(client, 'projects/ours', secret))) assert.ok((await errorOf(call)) instanceof NotFound);
});

test('batches that were announced for one project are not given to another', async () => {
  const request = { plan: plan(secret, { inputSize: 40 }), epoch: 0, client: 'one' };
  await getBatch({ ...request, parent: 'projects/theirs', index: 0, readAhead: 2 });
  assert.ok((await errorOf(() => getBatch({ ...request, parent: 'projects/ours', index: 1 }))) instanceof NotFound);
});

test('a manifest is stored once, and each project that indexes it has a place of its own', async () => {
  cpSync(theirs, ours, { recursive: true });
  assert.equal(await index(ours, '', 'ours'), secret);
  const of = (parent: string) => ({ parent, plan: plan(secret), epoch: 0, index: 0 });
  const [one, other] = [await getBatch(of('projects/theirs')), await getBatch(of('projects/ours'))];
  assert.ok(one.payload.equals(other.payload));
});

test('a folder that is for some projects is for no other, though a folder around it is for all', async () => {
  const inner = join(base, 'wide', 'inner');
  mkdirSync(join(base, 'wide'));
  writeImageFolder(inner, { perClass: 8 });
  for (const project of ['theirs', 'ours', 'default']) await index(inner, '', project);
  const manifest = await index(inner, '', 'theirs');
  const apart = connectTo(await replica('--root', join(base, 'wide'), '--root', `${inner}#projects=theirs+more`));
  await getBatch({ parent: 'projects/theirs', plan: plan(manifest), epoch: 0, index: 0 }, apart);
  for (const parent of ['projects/ours', '']) {
    const error = await errorOf(calls(apart, parent, manifest).getBatch);
    assert.ok(error instanceof PermissionDenied, String(error));
    assert.ok(!error.message.includes(base), error.message);
  }
  // Somebody's copy in a folder for all is found.
  cpSync(inner, join(base, 'wide', 'copy'), { recursive: true });
  await index(join(base, 'wide', 'copy'), '', 'ours');
  await getBatch({ parent: 'projects/ours', plan: plan(manifest), epoch: 0, index: 0 }, apart);
  apart.close();
});

test('a malformed list of projects is refused at the start', async () => {
  for (const list of ['', 'A', 'a+', 'a b'])
    await assert.rejects(replica('--root', `${root}#projects=${list}`), /#projects= and ids of projects/);
});

test('with identities, a request without a project is for projects/default, and needs a role there', async () => {
  const tokens = new Map<string, string>();
  const principal = (name: string, roles: Record<string, Role>) => {
    const { id, sha256, text } = createToken();
    tokens.set(name, text);
    return [name, { roles, uris: [], tokens: [{ id, sha256, created: '2026-01-01T00:00:00Z' }] }] as const;
  };
  const principals = [principal('theirs', { theirs: 'submitter' }), principal('ours', { default: 'submitter' })];
  const path = join(base, 'identities.json');
  writeFileSync(path, JSON.stringify({ version: 1, principals: Object.fromEntries(principals) }));
  const service = await replica('--identities', path);
  const as = (name: string) =>
    connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, addressOf(service), { token: tokens.get(name)! });
  const [them, us] = [as('theirs'), as('ours')];
  for (const call of Object.values(calls(them, 'projects/theirs', secret))) await call();
  for (const call of Object.values(calls(us, '', manifests.folder!))) await call();
  for (const parent of ['', 'projects/default'])
    for (const call of Object.values(calls(them, parent, secret))) assert.ok((await errorOf(call)) instanceof PermissionDenied);
  for (const call of Object.values(calls(us, 'projects/theirs', secret))) assert.ok((await errorOf(call)) instanceof PermissionDenied);
  for (const call of Object.values(calls(us, '', secret))) assert.ok((await errorOf(call)) instanceof NotFound);
  them.close();
  us.close();
});
