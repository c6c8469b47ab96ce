/**
 * Exports the spans of this process to a collector, if the environment names one (OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of OpenTelemetry).
 * Otherwise nothing of the SDK is loaded. A collector that is away delays nothing: spans wait in a queue of fixed length and are dropped then.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from './logger.js';
import { type Environment, traceSettings, wantsTraces } from './otlp/settings.js';
import { recordWith } from './spans.js';
import { version } from './version.js';

/** Fraction of the traces that a service records if no sampler is named and the caller has not decided. */
export const serviceRatio = 0.01;

export interface TracingOptions {
  /** e.g. `dropstream-data`. */
  readonly service: string;
  readonly usualRatio: number;
  readonly logger: Logger;
  readonly exportMs?: number;
  /** Default process.env. The exporter itself always reads process.env. */
  readonly env?: Environment;
}

export interface Tracing {
  /** Sends what waits, for at most so long, and ends the export. Never rejects. */
  close(withinMs: number): Promise<void>;
}

const off: Tracing = { close: async () => {} };

/** Starts the export for this process. The caller closes it. Never rejects: without traces, a service works as well. */
export async function startTracing({ env = process.env, usualRatio, logger, ...options }: TracingOptions): Promise<Tracing> {
  if (!wantsTraces(env)) return off;
  const settings = traceSettings(env, usualRatio);
  for (const complaint of settings.complaints) logger.warn(complaint);
  try {
    const { createProvider } = await import('./otlp/provider.js');
    const provider = await createProvider({ ...options, settings, logger });
    recordWith(provider.getTracer('dropstream', version));
    logger.info({ protocol: settings.protocol, ...settings.sampler }, 'traces are exported');
    return {
      close: async (withinMs) => {
        recordWith(undefined);
        const ended = provider.shutdown().catch(() => {});
        await Promise.race([ended, delay(withinMs, undefined, { ref: false })]);
      },
    };
  } catch (error) {
    logger.error({ error }, 'traces are not exported');
    return off;
  }
}
