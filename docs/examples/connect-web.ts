// Calls services from a page with @connectrpc/connect-web, here from Node, whose fetch is that of browsers.
// Usage: npm install @bufbuild/protobuf @connectrpc/connect @connectrpc/connect-web
//        DROPSTREAM_GATEWAY=http://127.0.0.1:7010 npx tsx docs/examples/connect-web.ts
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';

// A page has generated code in place of this: `npx protoc-gen-es` and buf make it from proto/. Without it, messages are known from their descriptors.
const descriptors = fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../../libs/protocol/descriptors.binpb', import.meta.url)));
const scheduler = createFileRegistry(descriptors).getService('dropstream.v1.SchedulerService');
if (scheduler === undefined) throw new Error('the descriptors have no scheduler');

const transport = createConnectTransport({ baseUrl: process.env.DROPSTREAM_GATEWAY ?? 'http://127.0.0.1:7010' });
// biome-ignore lint/suspicious/noExplicitAny: generated code has the types of messages
const schedules = createClient(scheduler, transport) as any;

const name = 'projects/default/schedules/from-a-page';
await schedules.createSchedule({ parent: 'projects/default', scheduleId: 'from-a-page', spec: { kind: 2, rate: 0.1, mode: 1 } });
const leave = new AbortController();
try {
  for await (const { schedule } of schedules.watchSchedule({ name }, { signal: leave.signal })) {
    console.log(`revision ${schedule.revision}: drop rate ${schedule.spec.rate}`);
    if (schedule.revision === 2n) break;
    await schedules.updateSchedule({ name, spec: { rate: 0.2 }, updateMask: { paths: ['rate'] } });
  }
} finally {
  leave.abort();
}
await schedules.deleteSchedule({ name });

try {
  await schedules.getSchedule({ name });
} catch (error) {
  const { rawMessage, details } = ConnectError.from(error);
  console.log(rawMessage, details.map((detail) => ('type' in detail ? detail.type : '')).join(' '));
}
