/** Reads a run's events from a cursor on, and reconnects when the connection breaks. */
import { type RunEvent, RunState, type TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import type { TypedClient } from '#rpc/client.js';
import { type Patience, Reconnects } from './reconnects.js';

export type TrainerClient = TypedClient<(typeof TrainerServiceClient)['service']>;

/** States after which nothing happens any more. */
export const endStates: ReadonlySet<RunState> = new Set([RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]);

export interface FollowOptions extends Patience {
  /** Only events with a greater sequence number. */
  readonly after?: bigint;
  /** Uid of the run that `after` belongs to. NotFound is thrown once the name belongs to another run. */
  readonly uid?: string;
}

/** Ends after the event that ends the run. @throws Unavailable or DeadlineExceeded after `patienceSeconds` without a connection or an answer */
export async function* runEvents(client: TrainerClient, name: string, options: FollowOptions): AsyncGenerator<RunEvent, void, void> {
  const reconnects = new Reconnects(options);
  let cursor = options.after ?? 0n;
  let uid = options.uid ?? '';
  for (;;) {
    try {
      for await (const { event } of client.watchRun({ name, afterSequence: cursor, uid }, { signal: options.signal })) {
        reconnects.connected();
        if (event === undefined || event.sequence <= cursor) continue;
        cursor = event.sequence;
        if (event.event?.$case === 'created') uid ||= event.event.value.run?.uid ?? '';
        yield event;
        if (event.event?.$case === 'state' && endStates.has(event.event.value.state)) return;
      }
      const { run } = await client.getRun({ name }, { timeoutMs: 10_000, signal: options.signal });
      if (run && endStates.has(run.state) && run.logSequence <= cursor) return;
    } catch (error) {
      reconnects.bear(error);
    }
    await reconnects.pause();
  }
}
