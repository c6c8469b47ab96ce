/** A gateway in this process before services of this process, and clients as browsers have them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DescService } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { type ConnectTransportOptions, createConnectTransport } from '@connectrpc/connect-web';
import type { RunningService } from '#rpc/start-service.js';
import { silentLogger } from '#telemetry/logger.js';
import { gatewayConfig } from '../../services/gateway/config.js';
import { start as startGateway } from '../../services/gateway/main.js';
import { readProtos } from '../../services/gateway/protos.js';
import { schedulerConfig } from '../../services/scheduler/config.js';
import { start as startScheduler } from '../../services/scheduler/main.js';

const free = ['--port', '0', '--admin-port', '0'];
const quiet = { logger: silentLogger(), processMetrics: false };
/** A test, or what stands for one in a hook of a suite, whose own `after` would come too soon. */
interface Closer {
  after(close: () => Promise<void>): void;
}

export class Closers implements Closer {
  readonly #steps: (() => Promise<void>)[] = [];
  after(close: () => Promise<void>): void {
    this.#steps.unshift(close);
  }
  async close(): Promise<void> {
    for (const step of this.#steps) await step();
  }
}

export async function gatewayFor(t: Closer, argv: string[]): Promise<RunningService> {
  const gateway = await startGateway(gatewayConfig.parse({ argv: [...free, ...argv] }), quiet);
  t.after(() => gateway.close());
  return gateway;
}

/** A scheduler over a store of its own. */
export async function schedulerFor(t: Closer, argv: string[] = []): Promise<RunningService> {
  const store = await mkdtemp(join(tmpdir(), 'dropstream-gateway-'));
  const scheduler = await startScheduler(
    schedulerConfig.parse({ argv: [...free, '--store', store, '--watch-poll-ms', '20', ...argv] }),
    quiet,
  );
  t.after(async () => {
    await scheduler.close();
    await rm(store, { recursive: true });
  });
  return scheduler;
}

/** Both. @returns the address of the gateway */
export async function schedulerOverHttp(t: Closer, argv: string[] = []): Promise<string> {
  const scheduler = await schedulerFor(t);
  const gateway = await gatewayFor(t, ['--scheduler', `127.0.0.1:${scheduler.port}`, ...argv]);
  return `http://127.0.0.1:${gateway.port}`;
}

const { registry } = readProtos();

/** connect-web with fetch, without generated code: every method by its name, with messages as objects. */
// biome-ignore lint/suspicious/noExplicitAny: the types of messages are known at run time only
export function webClient(baseUrl: string, service: string, options: Partial<ConnectTransportOptions> = {}): Record<string, any> {
  const found: DescService | undefined = registry.getService(`dropstream.v1.${service}`);
  if (found === undefined) throw new Error(`no service ${service}`);
  return createClient(found, createConnectTransport({ baseUrl, useBinaryFormat: false, ...options })) as Client<DescService>;
}

export interface JsonAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever was sent
  readonly body: any;
}

/** One call as a program without a library makes it. @param method e.g. `SchedulerService/GetSchedule` */
export async function post(baseUrl: string, method: string, body: unknown, headers: Record<string, string> = {}): Promise<JsonAnswer> {
  const response = await fetch(`${baseUrl}/dropstream.v1.${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text,
  };
}
