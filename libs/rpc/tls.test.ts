// TLS through a real handshake; certificates from the openssl command.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Identities } from '#auth/identities.js';
import type { Identify } from '#auth/identity.js';
import { Unauthenticated, Unavailable } from '#errors/errors.js';
import { silentLogger } from '#telemetry/logger.js';
import { createRegistry } from '#telemetry/metrics.js';
import { numberMessages } from '../../test/support/number-messages.js';
import { noOpenssl } from '../../test/support/openssl.js';
import { type ConnectOptions, connect } from './client.js';
import { service, unary } from './handlers.js';
import { createServer } from './server.js';

// A method that the policy knows, for requests without a project: where certificates are demanded, others are refused.
const definition = {
  getOne: {
    path: '/dropstream.v1.SchedulerService/PreviewSchedule' as const,
    requestStream: false as const,
    responseStream: false as const,
    ...numberMessages,
  },
};

test('TLS: server and client accept only certificates of their authority', {
  skip: noOpenssl,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-tls-'));
  t.after(() => rm(folder, { recursive: true }));
  const make = async (id: string): Promise<{ certificate: Buffer; key: Buffer }> => {
    const [key, cert] = [join(folder, `${id}.key`), join(folder, `${id}.pem`)];
    const subject = ['-subj', '/CN=localhost', '-addext', `subjectAltName=DNS:localhost,URI:spiffe://test/${id}`, '-days', '2', '-nodes'];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', key, '-out', cert, ...subject],
      { stdio: 'ignore' },
    );
    return { certificate: await readFile(cert), key: await readFile(key) };
  };
  const [server, caller] = [await make('server'), await make('caller')];
  const call = async (port: number, tls?: ConnectOptions['tls']): Promise<number> => {
    const client = connect({ service: definition }, `localhost:${port}`, { retry: { attempts: 1 }, ...(tls && { tls }) });
    try {
      return (await client.getOne({ n: 7 }, { timeoutMs: 5000 })).n;
    } finally {
      client.close();
    }
  };
  const seen: (string | undefined)[] = [];
  const serve = async (clientAuthority?: Buffer, identify?: Identify) => {
    const running = createServer({
      services: [
        service(
          definition,
          { getOne: {} },
          {
            getOne: unary((request, { identity, caller }) => {
              seen.push(identity?.principal, caller);
              return request;
            }),
          },
        ),
      ],
      registry: createRegistry({ service: 'test', version: '0', process: false }),
      logger: silentLogger(),
      reflection: false,
      tls: { ...server, ...(clientAuthority && { clientAuthority }) },
      ...(identify && { identify }),
    });
    t.after(() => running.close());
    await running.start();
    return running.port;
  };

  const oneWay = await serve();
  assert.equal(await call(oneWay, { authority: server.certificate }), 7);
  await assert.rejects(call(oneWay, { authority: caller.certificate }), Unavailable);
  await assert.rejects(call(oneWay), Unavailable);
  assert.deepEqual(seen.splice(0), [undefined, '127.0.0.1']);
  const mutual = await serve(caller.certificate);
  assert.equal(await call(mutual, { authority: server.certificate, ...caller }), 7);
  assert.deepEqual(seen.splice(0), ['spiffe://test/caller', 'principal spiffe://test/caller']);
  await assert.rejects(call(mutual, { authority: server.certificate }), Unavailable);

  const path = join(folder, 'identities.json');
  const identities = (uri: string) => {
    writeFileSync(path, JSON.stringify({ version: 1, principals: { bob: { roles: { p: 'viewer' }, uris: [uri] } } }));
    const opened = new Identities({ path });
    t.after(() => opened.close());
    return opened.identify;
  };
  const known = await serve(caller.certificate, identities('spiffe://test/caller'));
  assert.equal(await call(known, { authority: server.certificate, ...caller }), 7);
  assert.deepEqual(seen.splice(0), ['bob', 'principal bob']);
  const unknown = await serve(caller.certificate, identities('spiffe://test/other'));
  await assert.rejects(call(unknown, { authority: server.certificate, ...caller }), Unauthenticated);
  assert.deepEqual(seen, []);
});
