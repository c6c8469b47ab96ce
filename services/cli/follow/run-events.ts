/** Reads a run's events from a cursor on, and reconnects when the connection breaks. */
import { setTimeout as delay } from 'node:timers/promises';
import { Unavailable } from '#errors/errors.js';
import type { RunEvent, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import type { TypedClient } from '#rpc/client.js';
import { endStates } from './run-progress.js';

export type TrainerClient = TypedClient<(typeof TrainerServiceClient)['service']>;

export interface FollowOptions {
  readonly after?: bigint;
  readonly signal: AbortSignal;
  /** Seconds without a connection after which it gives up; default 60. */
  readonly patienceSeconds?: number;
  readonly onReconnect?: (error: Unavailable) => void;
}

/** Ends after the event that ends the run. @throws Unavailable after `patienceSeconds` without a connection */
export async function* runEvents(client: TrainerClient, name: string, options: FollowOptions): AsyncGenerator<RunEvent> {
  let cursor = options.after ?? 0n;
  let lostAt: number | undefined;
  for (;;) {
    try {
      for await (const { event } of client.watchRun({ name, afterSequence: cursor }, { signal: options.signal })) {
        lostAt = undefined;
        if (event === undefined || event.sequence <= cursor) continue;
        cursor = event.sequence;
        yield event;
        if (event.event?.$case === 'state' && endStates.has(event.event.value.state)) return;
      }
      const { run } = await client.getRun({ name }, { timeoutMs: 10_000, signal: options.signal });
      if (run && endStates.has(run.state) && run.logSequence <= cursor) return;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      lostAt ??= performance.now();
      if (performance.now() - lostAt > (options.patienceSeconds ?? 60) * 1000) throw error;
      options.onReconnect?.(error);
    }
    await delay(500, undefined, { signal: options.signal });
  }
}
