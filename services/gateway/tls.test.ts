// The gateway with TLS, before services with TLS.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeAuthority } from '../../test/support/certificates.js';
import { gatewayFor, schedulerFor } from '../../test/support/gateway.js';

const path = '/dropstream.v1.SchedulerService/ListSchedules';
const body = JSON.stringify({ parent: 'projects/p' });
const headers = { 'content-type': 'application/json' };

test('both protocols are chosen in the handshake, and the services are called with TLS', { timeout: 60_000 }, async (t) => {
  const authority = makeAuthority(t, 'gateway');
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-gateway-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const pair = authority.issue('gateway');
  const file = (name: string, content: Buffer): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const ca = file('ca.pem', authority.certificate);
  const own = ['--tls-cert', file('tls.pem', pair.certificate), '--tls-key', file('tls.key', pair.key)];
  const scheduler = await schedulerFor(t, own);
  const gateway = await gatewayFor(t, ['--scheduler', `localhost:${scheduler.port}`, '--tls-ca', ca, ...own]);

  const session = connectHttp2(`https://localhost:${gateway.port}`, { ca: authority.certificate });
  t.after(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
  stream.end(body);
  const [response] = (await once(stream, 'response')) as [Record<string, unknown>];
  stream.resume();
  assert.equal(response[':status'], 200);
  assert.equal(session.alpnProtocol, 'h2');

  const answer = await new Promise<string>((resolve, reject) => {
    const sent = httpsRequest(
      { host: 'localhost', port: gateway.port, path, method: 'POST', headers, ca: authority.certificate, agent: false },
      (got) => {
        got.resume();
        resolve(`${got.statusCode} ${got.httpVersion}`);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
  assert.equal(answer, '200 1.1');
});
