/** Spans of calls, with the names of OpenTelemetry's conventions for RPC (1.45). */
import { isTracing, type Span, type SpanAttributes, startSpan } from '#telemetry/spans.js';
import type { SpanContext } from '#telemetry/tracing.js';

/** Statuses that say that the server failed, and not that the request was wrong. */
const serverErrors = new Set(['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS']);

export interface ServerCall {
  /** e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly method: string;
  /** What the caller's metadata says; undefined: it begins a trace. */
  readonly parent: SpanContext | undefined;
  readonly peer: string;
  readonly project: string | undefined;
}

/** The span of a call on its server. observe-calls.ts ends it, with the status that the caller gets. */
export function serverSpan({ method, parent, peer, project }: ServerCall): Span {
  return startSpan(method, {
    kind: 'server',
    ...(parent === undefined ? {} : { parent }),
    // Nothing is put together for nobody: this runs for every call.
    ...(isTracing() && { attributes: { ...rpc(method), ...place('network.peer', peer), 'dropstream.project': project } }),
  });
}

export function endServerSpan(span: Span, code: string): void {
  if (!span.recorded) return;
  span.set({ 'rpc.response.status_code': code });
  if (serverErrors.has(code)) span.fail(code);
  span.end();
}

/** The span of one attempt of a call on its client. @param path e.g. `/dropstream.v1.SchedulerService/GetRates` @param address as it was connected */
export function clientSpan(path: string, address: string): Span {
  const method = path.slice(1);
  return startSpan(method, {
    kind: 'client',
    ...(isTracing() && { attributes: { ...rpc(method), ...place('server', address) } }),
  });
}

/** @param left whether the caller itself has ended the call, which is no failure */
export function endClientSpan(span: Span, code: string, left = false): void {
  if (!span.recorded) return;
  span.set({ 'rpc.response.status_code': code });
  if (code !== 'OK' && !left) span.fail(code);
  span.end();
}

/**
 * The trace by which readers of a graph find this call: in the tracing backend, which has only what is recorded, or in the logs where no traces are
 * exported.
 */
export const exemplarOf = (span: Span): string | undefined => (span.recorded || !isTracing() ? span.context.traceId : undefined);

const rpc = (method: string): SpanAttributes => ({ 'rpc.system.name': 'grpc', 'rpc.method': method });

/** Address and port of `host:port`; an address of another form as it is. */
function place(prefix: string, address: string): SpanAttributes {
  const [, host, port] = /^([^,/]+):(\d+)$/.exec(address) ?? [];
  return host === undefined ? { [`${prefix}.address`]: address } : { [`${prefix}.address`]: host, [`${prefix}.port`]: Number(port) };
}
