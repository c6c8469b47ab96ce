/** The process that calls a service for bench:loop, so that the service's own process does nothing else. One message in: a load; one out: its calls. */

import { DataServiceClient } from '#protocol/dropstream/v1/data.js';
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ClientClass, connect } from '#rpc/client.js';
import type { ServiceName } from '../support/processes.js';

export interface Load {
  readonly service: ServiceName;
  readonly address: string;
  readonly method: string;
  readonly request: object;
  readonly seconds: number;
  readonly together: number;
}

export interface LoadDone {
  readonly calls: number;
  readonly errors: Readonly<Record<string, number>>;
}

const clients = {
  data: DataServiceClient,
  evaluator: EvaluatorServiceClient,
  scheduler: SchedulerServiceClient,
  trainer: TrainerServiceClient,
} as unknown as Readonly<Record<ServiceName, ClientClass<typeof DataServiceClient.service>>>;

async function run({ service, address, method, request, seconds, together }: Load): Promise<LoadDone> {
  const client = connect(clients[service], address, { channel: { 'grpc.max_receive_message_length': 64 << 20 } });
  const call = (client as unknown as Record<string, (request: object, options: object) => AsyncIterable<unknown> & Promise<unknown>>)[
    method
  ]!;
  const end = performance.now() + 1000 * seconds;
  let calls = 0;
  const errors: Record<string, number> = {};
  const loop = async (): Promise<void> => {
    while (performance.now() < end) {
      // A watch does not end by itself: it ends with the measurement.
      const leave = AbortSignal.timeout(Math.max(1, Math.ceil(end + 5000 - performance.now())));
      try {
        const answer = call(request, { signal: leave });
        if (Symbol.asyncIterator in answer) for await (const _ of answer) if (performance.now() > end) break;
        await answer;
        calls++;
      } catch (error) {
        const name = (error as Error).message.slice(0, 120);
        errors[name] = (errors[name] ?? 0) + 1;
      }
    }
  };
  await Promise.all(Array.from({ length: together }, loop));
  client.close();
  return { calls, errors };
}

process.on('message', (load: Load) => {
  void run(load).then((done) => process.send?.(done));
});
