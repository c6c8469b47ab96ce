/** What the environment says about traces, in the variables that OpenTelemetry has defined for all programs. The exporter reads those of OTLP itself. */

export type Environment = Readonly<Record<string, string | undefined>>;

export const protocols = ['http/protobuf', 'http/json', 'grpc'] as const;
export type Protocol = (typeof protocols)[number];

export interface TraceSettings {
  readonly protocol: Protocol;
  readonly sampler: SamplerSettings;
  /** Number of spans that wait for the collector; further ones are dropped. */
  readonly maxQueueSize: number;
  readonly maxExportBatchSize: number;
  readonly scheduledDelayMillis: number;
  readonly exportTimeoutMillis: number;
  /** Sentences about variables that could not be used. */
  readonly complaints: readonly string[];
}

export interface SamplerSettings {
  /** Whether a span that has a parent is recorded if the parent is. */
  readonly parentBased: boolean;
  /** Fraction of the other spans that are recorded, 0 to 1. */
  readonly ratio: number;
}

/** Those of OTEL_TRACES_SAMPLER; the value is the ratio, undefined for that of OTEL_TRACES_SAMPLER_ARG. */
const samplers: Readonly<Record<string, number | undefined>> = { always_on: 1, always_off: 0, traceidratio: undefined };

/** True if spans have to be exported: an endpoint or the exporter `otlp` is named, and nothing turns it off. */
export function wantsTraces(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return false;
  const exporter = env.OTEL_TRACES_EXPORTER?.trim();
  if (exporter) return exporter === 'otlp';
  return Boolean(env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?.trim() || env.OTEL_EXPORTER_OTLP_ENDPOINT?.trim());
}

/** A value that cannot be used is replaced by the default, as the specification demands. @param usualRatio used if no sampler is named */
export function traceSettings(env: Environment, usualRatio: number): TraceSettings {
  const complaints: string[] = [];
  const integer = (name: string, usual: number, least: number, most: number): number => {
    const text = env[name]?.trim();
    if (!text) return usual;
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    complaints.push(`${name} is ${text}, must be from ${least} to ${most}: ${usual} is used`);
    return usual;
  };
  const maxQueueSize = integer('OTEL_BSP_MAX_QUEUE_SIZE', 2048, 1, 1_000_000);
  return {
    protocol: protocolOf(env, complaints),
    sampler: samplerOf(env, usualRatio, complaints),
    maxQueueSize,
    maxExportBatchSize: Math.min(maxQueueSize, integer('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512, 1, 1_000_000)),
    scheduledDelayMillis: integer('OTEL_BSP_SCHEDULE_DELAY', 5000, 1, 3_600_000),
    exportTimeoutMillis: integer('OTEL_BSP_EXPORT_TIMEOUT', 30_000, 1, 3_600_000),
    complaints,
  };
}

function protocolOf(env: Environment, complaints: string[]): Protocol {
  const name = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL?.trim() ? 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL' : 'OTEL_EXPORTER_OTLP_PROTOCOL';
  const given = env[name]?.trim();
  if (!given) return 'http/protobuf';
  const known = protocols.find((protocol) => protocol === given);
  if (known === undefined) complaints.push(`${name} is ${given}, must be one of ${protocols.join(', ')}: http/protobuf is used`);
  return known ?? 'http/protobuf';
}

function samplerOf(env: Environment, usualRatio: number, complaints: string[]): SamplerSettings {
  const usual = { parentBased: true, ratio: usualRatio };
  const given = env.OTEL_TRACES_SAMPLER?.trim();
  if (!given) return usual;
  const parentBased = given.startsWith('parentbased_');
  const root = parentBased ? given.slice('parentbased_'.length) : given;
  if (!Object.hasOwn(samplers, root)) {
    const known = Object.keys(samplers).flatMap((name) => [name, `parentbased_${name}`]);
    complaints.push(
      `OTEL_TRACES_SAMPLER is ${given}, must be one of ${known.join(', ')}: parentbased_traceidratio with ${usualRatio} is used`,
    );
    return usual;
  }
  return { parentBased, ratio: samplers[root] ?? ratioOf(env, complaints) };
}

function ratioOf(env: Environment, complaints: string[]): number {
  const text = env.OTEL_TRACES_SAMPLER_ARG?.trim();
  if (!text) return 1;
  const ratio = Number(text);
  if (ratio >= 0 && ratio <= 1) return ratio;
  complaints.push(`OTEL_TRACES_SAMPLER_ARG is ${text}, must be from 0 to 1: 1 is used`);
  return 1;
}
