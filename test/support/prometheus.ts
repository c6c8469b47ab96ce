/** A real Prometheus of one test. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findTool, freePort } from './tool.js';

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

export interface Prometheus {
  /** Every second of a span. @throws if Prometheus does not accept the query */
  range(query: string, from: number, to: number): Promise<readonly Series[]>;
  /** What the HTTP API answers, as `data`. */
  api<T>(path: string): Promise<T>;
}

/** Starts it with this configuration file, its data beside it, and waits until it answers. It ends with the test. */
export async function startPrometheus(t: TestContext, folder: string, config: string): Promise<Prometheus | { readonly skip: string }> {
  const tool = await findTool('prometheus');
  if ('skip' in tool) return tool;
  const base = `http://127.0.0.1:${await freePort()}`;
  const data = mkdtempSync(join(folder, 'prometheus-data-'));
  const flags = [`--config.file=${config}`, `--storage.tsdb.path=${data}`, `--web.listen-address=${base.slice(7)}`];
  const server = spawn(tool.path, [...flags, '--enable-feature=exemplar-storage', '--log.level=error'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  t.after(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGTERM');
    await gone;
  });
  const api = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${base}/api/v1/${path}`, { signal: AbortSignal.timeout(10_000) });
    const answer = (await response.json()) as { readonly status: string; readonly data: T; readonly error?: string };
    if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  };
  for (let left = 120; ; left--) {
    if (
      await fetch(`${base}/-/ready`).then(
        (response) => response.ok,
        () => false,
      )
    )
      break;
    if (left === 0 || server.exitCode !== null) throw new Error('Prometheus does not become ready');
    await delay(250);
  }
  return {
    api,
    range: async (query, from, to) => {
      const parameters = new URLSearchParams({ query, start: String(from), end: String(to), step: '1' });
      return (await api<{ readonly result: readonly Series[] }>(`query_range?${parameters}`)).result;
    },
  };
}
