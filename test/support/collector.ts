/**
 * OpenTelemetry's own OTLP receiver (test/support/collector, a Go program) as a process, and the spans that it has taken. It is compiled once for each
 * version of its sources, which takes less than a minute.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { freePort, type Tool } from './tool.js';
import { until } from './until.js';

export interface CollectedSpan {
  /** `service.name` of its resource. */
  readonly service: string;
  readonly name: string;
  /** internal, server or client. */
  readonly kind: string;
  readonly traceId: string;
  readonly spanId: string;
  /** '' for a root. */
  readonly parentSpanId: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly failed: boolean;
  readonly message: string;
}

export interface Collector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT with HTTP, and with gRPC. */
  readonly http: string;
  readonly grpc: string;
  readonly spans: readonly CollectedSpan[];
  /** The first span that fits, as soon as it is there. */
  find(what: string, fits: (span: CollectedSpan) => boolean): Promise<CollectedSpan>;
  close(): Promise<void>;
}

const source = fileURLToPath(new URL('./collector', import.meta.url));

/** The compiled collector, or why there is none. */
export async function collectorTool(): Promise<Tool> {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(source, file)));
  const folder = process.env.TOOLS_DIR ?? join(homedir(), '.cache', 'dropstream-tools', 'bin');
  const path = join(folder, `otel-collector-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(path)) return { path };
  try {
    await mkdir(folder, { recursive: true });
    const fresh = `${path}.${process.pid}`;
    const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '-trimpath -buildvcs=false' };
    await promisify(execFile)('go', ['build', '-ldflags=-s -w', '-o', fresh, '.'], { cwd: source, env, timeout: 600_000 });
    await rename(fresh, path);
    return { path };
  } catch (error) {
    return { skip: `otel-collector: it could not be compiled: ${(error as Error).message.split('\n')[0]}` };
  }
}

/** Starts it on free ports, or on given ones. The caller closes it. */
export async function startCollector(path: string, ports: { http?: number; grpc?: number } = {}): Promise<Collector> {
  const [http, grpc] = [ports.http ?? (await freePort()), ports.grpc ?? (await freePort())].map((port) => `127.0.0.1:${port}`);
  const child = spawn(path, [http!, grpc!], { stdio: ['ignore', 'pipe', 'inherit'] });
  const spans: CollectedSpan[] = [];
  let ready = false;
  createInterface(child.stdout).on('line', (line) => {
    if (line === 'ready') ready = true;
    else spans.push(...spansOf(JSON.parse(line)));
  });
  await until('the collector', () => ready || child.exitCode !== null);
  return {
    http: `http://${http}`,
    grpc: `http://${grpc}`,
    spans,
    find: (what, fits) => until(`the span ${what}`, () => spans.find(fits), { looks: 3000 }),
    close: () => ended(child),
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('exit', resolve));
}

interface Value {
  readonly stringValue?: string;
  readonly intValue?: string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
}
type KeyValues = readonly { readonly key: string; readonly value: Value }[];

interface Traces {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: KeyValues };
    readonly scopeSpans: readonly { readonly spans: readonly EncodedSpan[] }[];
  }[];
}

interface EncodedSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: KeyValues;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code?: number; readonly message?: string };
}

const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const errorCode = 2;

function spansOf({ resourceSpans }: Traces): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(plain(resource.attributes)['service.name']);
    return scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        service,
        name: span.name,
        kind: kinds[span.kind] ?? String(span.kind),
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        startMs: Number(span.startTimeUnixNano) / 1e6,
        endMs: Number(span.endTimeUnixNano) / 1e6,
        attributes: plain(span.attributes),
        links: span.links ?? [],
        failed: span.status?.code === errorCode,
        message: span.status?.message ?? '',
      })),
    );
  });
}

function plain(pairs: KeyValues = []): Record<string, string | number | boolean> {
  const plainOf = ({ stringValue, intValue, doubleValue, boolValue }: Value) =>
    stringValue ?? (intValue === undefined ? (doubleValue ?? boolValue ?? '') : Number(intValue));
  return Object.fromEntries(pairs.map(({ key, value }) => [key, plainOf(value)]));
}
