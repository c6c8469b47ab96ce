/** Streams of a token that is revoked end, also those of health and reflection, which are not the project's own handlers. */
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Identities } from '#auth/identities.js';
import { createToken } from '#auth/tokens.js';
import { serverOfEveryService } from './support/every-service.js';

test('a revoked token ends its streams of health and reflection', { timeout: 30_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-revoked-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'identities.json');
  const [kept, revoked] = [createToken(), createToken()];
  const write = (tokens: readonly { id: string; sha256: string }[]): void => {
    const listed = tokens.map(({ id, sha256 }) => ({ id, sha256, created: '2026-01-01T00:00:00Z' }));
    writeFileSync(`${path}.new`, JSON.stringify({ version: 1, principals: { ann: { roles: { p: 'viewer' }, tokens: listed } } }));
    renameSync(`${path}.new`, path);
  };
  write([kept, revoked]);
  const identities = new Identities({ path, lookMs: 20 });
  t.after(() => identities.close());
  const server = serverOfEveryService(new Error('not called'), identities.identify);
  await server.start();
  t.after(() => server.close());
  const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
  t.after(() => client.close());

  const bytes = (buffer: Buffer): Buffer => buffer;
  /** list_services of reflection is field 7, a string. */
  const requests = [
    ['/grpc.health.v1.Health/Watch', Buffer.alloc(0)],
    ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', Buffer.from([0x3a, 0x01, 0x2a])],
    ['/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', Buffer.from([0x3a, 0x01, 0x2a])],
  ] as const;
  /** Opens the stream and waits for its first answer. @returns a promise of its status */
  const open = async (method: string, request: Buffer, token: string) => {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    const call = client.makeBidiStreamRequest(method, bytes, bytes, metadata, {});
    t.after(() => call.cancel());
    const ended = new Promise<number>((resolve) => {
      call.on('error', (error: ServiceError) => resolve(error.code));
      call.on('end', () => resolve(status.OK));
    });
    const answered = new Promise((resolve) => call.once('data', resolve));
    call.write(request);
    if (method.endsWith('/Watch')) call.end();
    assert.ok(await Promise.race([answered, ended.then((code) => assert.fail(`${method} ended with ${status[code]}`))]));
    return { call, ended };
  };
  const streams = await Promise.all(requests.map(([method, request]) => open(method, request, revoked.text)));
  const others = await Promise.all(requests.map(([method, request]) => open(method, request, kept.text)));
  write([kept]);
  assert.deepEqual(
    await Promise.all(streams.map(({ ended }) => ended)),
    requests.map(() => status.UNAUTHENTICATED),
  );
  // What happens later is told to those who may hear it.
  server.setServing(false);
  const told = new Promise((resolve) => others[0]!.call.once('data', resolve));
  server.setServing(true);
  assert.ok(await told);
});
