/** Requests that grpc-js cannot read: the caller is told that it is at fault, and the call is counted as it ended. */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { FailedPrecondition } from '#errors/errors.js';
import { GetScheduleRequest } from '#protocol/dropstream/v1/scheduler.js';
import { serverOfEveryService } from '../../test/support/every-service.js';

import { withoutProtoKeys } from './callers-fault.js';
import type { RpcServer } from './server.js';

const METHOD = '/dropstream.v1.SchedulerService/GetSchedule';
let server: RpcServer;
let session: http2.ClientHttp2Session;
before(async () => {
  server = serverOfEveryService(new FailedPrecondition('call', 'test', 'the handler was reached'));
  await server.start();
  session = http2.connect(`http://127.0.0.1:${server.port}`);
});
after(async () => {
  session.close();
  await server.close();
});

/** A message as gRPC frames it. */
function framed(message: Uint8Array, compressed = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

async function call(body: Buffer, headers: http2.OutgoingHttpHeaders = {}, path = METHOD): Promise<{ code: number; message: string }> {
  const stream = session.request({ ':method': 'POST', ':path': path, te: 'trailers', 'content-type': 'application/grpc', ...headers });
  stream.end(body);
  return await new Promise((resolve, reject) => {
    const take = (sent: http2.IncomingHttpHeaders): void => {
      if (sent['grpc-status'] === undefined) return;
      resolve({ code: Number(sent['grpc-status']), message: decodeURIComponent(String(sent['grpc-message'] ?? '')) });
      stream.close();
    };
    stream.on('response', take);
    stream.on('trailers', take);
    stream.on('error', reject);
    stream.resume();
    stream.setTimeout(10_000, () => reject(new Error('no answer')));
  });
}

const valid = Buffer.from(GetScheduleRequest.encode({ name: 'projects/p/schedules/s', revision: 0n }).finish());

for (const [what, body, headers] of [
  ['a message that is cut', framed(valid.subarray(0, -3)), {}],
  ['a length beyond the message', framed(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x7f])), {}],
  ['a text that is no UTF-8', framed(Buffer.from([0x0a, 2, 0xc3, 0x28])), {}],
  ['a tag of zero', framed(Buffer.from([0])), {}],
  ['a message that is not compressed as it says', framed(valid, 1), { 'grpc-encoding': 'gzip' }],
  ['a compressed message that is cut', framed(gzipSync(valid).subarray(0, -6), 1), { 'grpc-encoding': 'gzip' }],
  ['a deadline that is none', framed(valid), { 'grpc-timeout': 'soon' }],
] as const)
  test(what, async () => {
    const { code, message } = await call(body, headers);
    assert.equal(status[code], 'INVALID_ARGUMENT', message);
    assert.match(message, / is "[^"]*", must be /);
  });

test('health is no exception', async () => {
  const { code } = await call(framed(Buffer.from([0x0f])), {}, '/grpc.health.v1.Health/Check');
  assert.equal(status[code], 'INVALID_ARGUMENT');
});

test('a compressed message that unpacks to more than a request may have is refused', async () => {
  const { code } = await call(framed(gzipSync(Buffer.alloc(64 << 20)), 1), { 'grpc-encoding': 'gzip' });
  assert.equal(status[code], 'RESOURCE_EXHAUSTED');
});

test('what can be read reaches its handler', async () => {
  for (const [body, headers] of [
    [framed(valid), {}],
    [framed(gzipSync(valid), 1), { 'grpc-encoding': 'gzip' }],
    [framed(valid), { 'grpc-timeout': '9S' }],
  ] as const) {
    const { code, message } = await call(body, headers);
    assert.equal(status[code], 'FAILED_PRECONDITION', message);
  }
});

test('a key __proto__ is refused wherever it stands in an entry, and other keys are not', () => {
  const decode = withoutProtoKeys((bytes: Buffer) => bytes.length);
  const key = (text: string): Buffer => Buffer.concat([Buffer.from([0x0a, text.length]), Buffer.from(text)]);
  for (const bytes of [key('__proto__'), Buffer.concat([Buffer.from([0x12, 1, 0x78]), key('__proto__')])])
    assert.throws(() => decode(bytes), TypeError);
  for (const text of ['constructor', '__proto_', 'x__proto__']) assert.equal(decode(key(text)), text.length + 2);
});
