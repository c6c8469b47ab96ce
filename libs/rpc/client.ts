/**
 * A typed client of any Dropstream service, from its generated client class:
 *
 *     const scheduler = connect(SchedulerServiceClient, '127.0.0.1:7012');
 *     const { rates } = await scheduler.getRates({ … }, { timeoutMs: 5000 });
 *     for await (const { schedule } of scheduler.watchSchedule({ name }, { signal })) { … }
 *     scheduler.close();
 *
 * Every call has a deadline or a signal. Errors are the classes of errors.ts. UNAVAILABLE is retried if the call is idempotent.
 */
import { setMaxListeners } from 'node:events';
import type { ChannelOptions, ServiceDefinition } from '@grpc/grpc-js';
import type { Registry } from 'prom-client';
import type { CallerToken } from '#auth/caller-token.js';
import { createGrpcClientMetrics, type GrpcMetrics } from '#telemetry/grpc-metrics.js';
import { callStream } from './call-stream.js';
import { callUnary } from './call-unary.js';
import { checkTokenIsSafe, credentialsOf } from './caller-credentials.js';
import { openChannel } from './channel.js';
import type { CallOptions, Connection } from './connection.js';
import type { AnyMethod } from './handlers.js';
import { LastingChannel } from './lasting-channel.js';
import type { Environment } from './proxy.js';
import { defaultRetry, type RetryPolicy } from './retry.js';
import type { ClientTls } from './tls/read-tls.js';

export * from '#errors/errors.js';
export type { CallExtras, CallOptions } from './connection.js';
export type { RetryPolicy } from './retry.js';
export type { ClientTls } from './tls/read-tls.js';

export interface ConnectOptions {
  /** Default: plain text. A function is asked for each connection, so that certificates can be replaced; the name of the server stays the first one. */
  readonly tls?: ClientTls | (() => ClientTls);
  /** Bearer token that every call shows. It is sent to other machines through TLS only. A function is asked for each call. */
  readonly token?: string | CallerToken;
  /** Largest response message, bytes; default 64 MiB. */
  readonly maxReceiveBytes?: number;
  readonly retry?: Partial<RetryPolicy>;
  /** How long a connection may take before another one is tried, ms; default 20 s. */
  readonly connectMs?: number;
  /** Registry for the client's metrics. */
  readonly registry?: Registry;
  /** Sent with every call, e.g. `dropstream-project`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Options that override those of the channel. */
  readonly channel?: ChannelOptions;
  /** Where the proxy is named; default process.env. */
  readonly env?: Environment;
}

/** A generated class such as `SchedulerServiceClient`. */
export interface ClientClass<D> {
  readonly service: D;
}

type RequestOf<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Q } ? Q : never;
type ResponseOf<M> = M extends { responseDeserialize: (bytes: Buffer) => infer R } ? R : never;

/** Requests may omit top-level fields, which then have their proto default. */
export type TypedClient<D> = {
  readonly [K in keyof D]: D[K] extends { responseStream: true }
    ? (request: Partial<RequestOf<D[K]>>, options: CallOptions) => AsyncIterable<ResponseOf<D[K]>>
    : (request: Partial<RequestOf<D[K]>>, options: CallOptions) => Promise<ResponseOf<D[K]>>;
} & {
  /** Closes the connections; calls in flight end as Cancelled. */
  close(): void;
};

const clientMetrics = new WeakMap<Registry, GrpcMetrics>();

/** Registers the metrics once for each registry, for any number of connections. */
function metricsOf(registry: Registry): GrpcMetrics {
  const known = clientMetrics.get(registry) ?? createGrpcClientMetrics(registry);
  clientMetrics.set(registry, known);
  return known;
}

/**
 * Connects lazily. `address` is `host:port`, several of them joined by commas (calls go round robin), or a gRPC target such as
 * `dns:///data:7011`. proxy.ts says when a proxy is used.
 * @throws InvalidArgument for an address or a proxy that cannot be used, or that a token would be sent to in plain text
 */
export function connect<D extends object>(type: ClientClass<D>, address: string, options: ConnectOptions = {}): TypedClient<D> {
  checkTokenIsSafe(address, options);
  const { token } = options;
  const channel = new LastingChannel({
    // A channel that replaces another one must not share the connection that did not come about.
    open: (again) =>
      openChannel(
        address,
        credentialsOf(options.tls),
        { ...channelOptions(options), ...(again ? { 'grpc.use_local_subchannel_pool': 1 } : {}) },
        options.env,
      ),
    connectMs: options.connectMs ?? 20_000,
  });
  const connection: Connection = {
    get client() {
      return channel.client;
    },
    address,
    where: channel.where,
    metrics: options.registry && metricsOf(options.registry),
    retry: { ...defaultRetry, ...options.retry },
    metadata: options.metadata ?? {},
    token: typeof token === 'string' ? () => token : token,
  };
  const methods: Record<string, unknown> = { close: () => channel.close() };
  for (const [key, method] of Object.entries(type.service as ServiceDefinition) as [string, AnyMethod][]) {
    const call = method.responseStream ? callStream : callUnary;
    methods[key] = (request: object, callOptions: CallOptions) =>
      call(connection, method, complete(method, request), checked(method, callOptions));
  }
  return methods as TypedClient<D>;
}

function checked(method: AnyMethod, options: CallOptions | undefined): CallOptions {
  if (options?.timeoutMs === undefined && options?.signal === undefined) throw new TypeError(`${method.path} needs timeoutMs or signal`);
  if (options.timeoutMs !== undefined && !(options.timeoutMs > 0))
    throw new TypeError(`timeoutMs is ${options.timeoutMs}, must be above 0`);
  // One signal may be used for any number of calls.
  if (options.signal) setMaxListeners(0, options.signal);
  return options;
}

/** Fills in the proto defaults of top-level fields, which the generated encoder expects. */
function complete(method: AnyMethod, request: object): object {
  return { ...(method.requestDeserialize(Buffer.alloc(0)) as object), ...request };
}

function channelOptions(options: ConnectOptions): ChannelOptions {
  const tls = typeof options.tls === 'function' ? options.tls() : options.tls;
  return {
    'grpc.max_receive_message_length': options.maxReceiveBytes ?? 64 * 2 ** 20,
    'grpc.max_send_message_length': 16 * 2 ** 20,
    // Downloads are 4 to 6 times faster than with the default window.
    'grpc-node.flow_control_window': 2 ** 20,
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    // Retries are done in retry.ts: those of grpc-js end when headers arrive, and do not know RetryInfo.
    'grpc.enable_retries': 0,
    // A server that says nothing any more is noticed within 20 s: whoever watches something has no other deadline.
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 5_000,
    ...(tls?.serverName ? { 'grpc.ssl_target_name_override': tls.serverName } : {}),
    ...options.channel,
  };
}
