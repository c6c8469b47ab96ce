/** Metrics of the gateway besides those of its calls, which are the ones of a gRPC server and of a gRPC client. */
import { Counter, Gauge, type Registry } from 'prom-client';

export type HttpMetrics = ReturnType<typeof createHttpMetrics>;

export function createHttpMetrics(registry: Registry) {
  const registers = [registry];
  return {
    requests: new Counter({
      name: 'dropstream_gateway_http_requests_total',
      help: 'HTTP requests by what answered them: call, preflight, page, unknown (no such path), or refused (another host or origin).',
      labelNames: ['kind', 'http_version'] as const,
      registers,
    }),
    streams: new Gauge({ name: 'dropstream_gateway_streams', help: 'Streams that are open.', registers }),
  };
}
