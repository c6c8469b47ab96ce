// Connections without a request.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { TwoProtocols } from './two-protocols.js';

test('connections that have asked for nothing, as browsers open them ahead, do not outlive the server', { timeout: 60_000 }, async (t) => {
  const server = new TwoProtocols({ tls: undefined, onRequest: (_, response) => void response.end(), maxConnectionAgeMs: 0 });
  const port = await server.listen(0, '127.0.0.1');
  // Their own deadline never comes.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const silent = await Promise.all(
    ['', 'GET / HT'].map(async (said) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      await once(socket, 'connect');
      socket.resume();
      if (said !== '') socket.write(said);
      return socket;
    }),
  );
  // They were accepted before this one, which is answered.
  const busy = connect(port, '127.0.0.1');
  busy.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const [answer] = (await once(busy, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200/);
  busy.resume();
  await server.end();
  for (const socket of [...silent, busy]) if (!socket.closed) await once(socket, 'close');
});
