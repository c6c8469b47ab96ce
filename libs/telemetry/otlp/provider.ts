/** Makes the OpenTelemetry SDK ready. Only start-tracing.ts loads this file, and only if traces are exported: everything below takes time to load. */
import { hostname } from 'node:os';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Logger } from '../logger.js';
import { newSpanId, newTraceId } from '../tracing.js';
import { version } from '../version.js';
import { DecidingSampler } from './sampler.js';
import type { Protocol, TraceSettings } from './settings.js';
import { WatchedExporter } from './watched-exporter.js';

/** Longest value of an attribute, in characters. */
const longestValue = 1024;

export interface ProviderOptions {
  /** Used unless the environment names the service. */
  readonly service: string;
  readonly settings: TraceSettings;
  /** Longest time of an export in ms; absent: that of OTEL_EXPORTER_OTLP_TIMEOUT, or else 10 s. */
  readonly exportMs?: number | undefined;
  readonly logger: Logger;
}

export async function createProvider({ service, settings, exportMs, logger }: ProviderOptions): Promise<TracerProvider> {
  const own = resourceFromAttributes({
    'service.name': service,
    'service.version': version,
    'service.instance.id': newTraceId(),
    'host.name': hostname(),
    'process.pid': process.pid,
  });
  const exporter = new WatchedExporter(await exporterOf(settings.protocol, exportMs), logger);
  return new TracerProvider({
    resource: own.merge(detectResources({ detectors: [envDetector] })),
    sampler: new DecidingSampler(settings.sampler),
    spanProcessors: [new BatchSpanProcessor({ exporter, ...settings })],
    spanLimits: { attributeValueLengthLimit: longestValue, attributeCountLimit: 64, linkCountLimit: 64, eventCountLimit: 64 },
    idGenerator: { generateTraceId: newTraceId, generateSpanId: newSpanId },
  });
}

async function exporterOf(protocol: Protocol, exportMs: number | undefined): Promise<SpanExporter> {
  const options = exportMs === undefined ? {} : { timeoutMillis: exportMs };
  const { OTLPTraceExporter } = await exporters[protocol]();
  return new OTLPTraceExporter(options);
}

const exporters = {
  'http/protobuf': () => import('@opentelemetry/exporter-trace-otlp-proto'),
  'http/json': () => import('@opentelemetry/exporter-trace-otlp-http'),
  grpc: () => import('@opentelemetry/exporter-trace-otlp-grpc'),
} as const;
