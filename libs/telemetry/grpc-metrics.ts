/** The gRPC metrics of a server and of a client, with the names of go-grpc-middleware. */
import { Counter, Histogram, type Registry } from 'prom-client';

export type GrpcType = 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';

export interface GrpcMethod {
  readonly type: GrpcType;
  /** e.g. `dropstream.v1.SchedulerService`. */
  readonly service: string;
  /** e.g. `GetRates`. */
  readonly method: string;
}

/** Splits `/dropstream.v1.SchedulerService/GetRates`. */
export function grpcMethod(path: string, requestStream: boolean, responseStream: boolean): GrpcMethod {
  const [, service = '', method = ''] = path.split('/');
  const type = requestStream ? (responseStream ? 'bidi_stream' : 'client_stream') : responseStream ? 'server_stream' : 'unary';
  return { type, service, method };
}

/** Observes one call from start to end. */
export interface CallObserver {
  received(): void;
  sent(): void;
  /**
   * Call it once for each call. `code` is the name of the status, such as `OK` or `NOT_FOUND`. `traceId` becomes the exemplar of the call's duration, by
   * which readers of a graph find a call that took so long.
   */
  handled(code: string, traceId?: string): void;
}

export interface GrpcMetrics {
  /** Sets all series of a method to zero, so that rates and alerts exist before the first call. */
  initialise(method: GrpcMethod): void;
  begin(method: GrpcMethod): CallObserver;
}

const codesAtStart = ['OK', 'INVALID_ARGUMENT', 'NOT_FOUND', 'UNAVAILABLE', 'INTERNAL', 'DEADLINE_EXCEEDED', 'CANCELLED'];
const secondsBuckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const methodLabels = ['grpc_type', 'grpc_service', 'grpc_method'] as const;

export function createGrpcServerMetrics(registry: Registry): GrpcMetrics {
  return createSide(registry, 'server', 'the server');
}

export function createGrpcClientMetrics(registry: Registry): GrpcMetrics {
  return createSide(registry, 'client', 'the client');
}

function createSide(registry: Registry, side: 'server' | 'client', who: string): GrpcMetrics {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name: `grpc_${side}_${name}`, help, labelNames, registers });
  const started = counter('started_total', `Calls started on ${who}.`, methodLabels);
  const handled = counter('handled_total', `Calls completed on ${who}, by status code.`, [...methodLabels, 'grpc_code']);
  const received = counter('msg_received_total', `Messages received by ${who}.`, methodLabels);
  const sent = counter('msg_sent_total', `Messages sent by ${who}.`, methodLabels);
  const seconds = new Histogram({
    name: `grpc_${side}_handling_seconds`,
    help: `Seconds from start to end of a call on ${who}.`,
    labelNames: methodLabels,
    buckets: secondsBuckets,
    enableExemplars: true,
    // prom-client takes exemplars for a registry that writes OpenMetrics only; ours writes them where it is asked for them (exposition.ts).
    registers: [],
  });
  registry.registerMetric(seconds);
  const labelsOf = (m: GrpcMethod) => ({ grpc_type: m.type, grpc_service: m.service, grpc_method: m.method });

  return {
    initialise(method) {
      const labels = labelsOf(method);
      for (const c of [started, received, sent]) c.inc(labels, 0);
      for (const grpc_code of codesAtStart) handled.inc({ ...labels, grpc_code }, 0);
      seconds.zero(labels);
    },
    begin(method) {
      const labels = labelsOf(method);
      const begun = performance.now();
      started.inc(labels);
      let done = false;
      return {
        received: () => received.inc(labels),
        sent: () => sent.inc(labels),
        handled(code, traceId) {
          if (done) return;
          done = true;
          handled.inc({ ...labels, grpc_code: code });
          const value = (performance.now() - begun) / 1000;
          // Names of an exemplar's labels are free; prom-client's types take them for labels of the metric.
          const exemplarLabels = (traceId === undefined ? {} : { trace_id: traceId }) as Partial<typeof labels>;
          seconds.observe({ labels, value, exemplarLabels });
        },
      };
    },
  };
}
