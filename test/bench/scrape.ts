/** What a replica of the data service says about itself at /metrics. */
import type { ServiceProcess } from '../support/processes.js';

export interface ReplicaFacts {
  readonly images: number;
  readonly payloadBytes: number;
  /** Of the whole process since its start. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Seconds of event-loop delay since the last look. */
  readonly loopP99: number;
  readonly loopMax: number;
}

export async function scrapeReplica({ admin }: Pick<ServiceProcess, 'admin'>): Promise<ReplicaFacts> {
  const text = await (await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  const value = (name: string): number => {
    const line = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(text);
    if (!line) throw new Error(`${admin}/metrics has no ${name}`);
    return Number(line[1]);
  };
  return {
    images: value('dropstream_data_images_total'),
    payloadBytes: value('dropstream_data_payload_bytes_total'),
    cpuSeconds: value('process_cpu_seconds_total'),
    residentBytes: value('process_resident_memory_bytes'),
    loopP99: value('nodejs_eventloop_lag_p99_seconds'),
    loopMax: value('nodejs_eventloop_lag_max_seconds'),
  };
}
