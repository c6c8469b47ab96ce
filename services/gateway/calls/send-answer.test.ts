// Answers over real connections, whose readers do not always read.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { sendAnswer } from './send-answer.js';

test('a reader that takes nothing does not hold its answer for ever', { timeout: 60_000 }, async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reader = connect((server.address() as AddressInfo).port, '127.0.0.1');
  // Nobody reads what comes.
  reader.pause();
  reader.on('error', () => {});
  reader.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
  let ended = false;
  async function* chunks() {
    try {
      for (;;) yield Buffer.alloc(1 << 16);
    } finally {
      ended = true;
    }
  }
  await assert.rejects(sendAnswer({ status: 200, header: new Headers(), body: chunks() }, response, 100));
  assert.ok(ended);
  response.destroy();
  reader.destroy();
  server.close();
  await once(server, 'close');
});
