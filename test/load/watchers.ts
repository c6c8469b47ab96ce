/**
 * Watchers of runs, spread over the runs and over some connections. Each must get every event of its run once and in order, and its stream must end
 * after the event that ends the run.
 */
import { connectTrainer } from '../support/training.js';
import { AnswerLog } from './answers.js';
import { runChild, startChild } from './child.js';
import { runNameOf } from './fill.js';

export interface WatchersOptions {
  readonly address: string;
  readonly watchers: number;
  /** Number of runs that are watched. */
  readonly runs: number;
  readonly connections: number;
}

export const startWatchers = (options: WatchersOptions) => startChild('./watchers.ts', import.meta.url, options);

async function open({ address, watchers, runs, connections }: WatchersOptions) {
  const log = new AnswerLog();
  const clients = Array.from({ length: Math.min(connections, watchers) }, () => connectTrainer(address));
  const newest = new Map<string, bigint>();
  const ends: { readonly name: string; readonly seen: bigint }[] = [];
  let events = 0;
  const watching: Promise<void>[] = [];
  const begun = Array.from({ length: watchers }, async (_, k) => {
    const name = runNameOf(k % runs);
    let begin = (): void => {};
    const first = new Promise<void>((resolve) => {
      begin = resolve;
    });
    watching.push(
      (async () => {
        let seen = 0n;
        const begunMs = performance.now();
        try {
          for await (const { event } of clients[k % clients.length]!.watchRun({ name }, { timeoutMs: 60 * 60_000 })) {
            if (seen === 0n) log.took('first event', performance.now() - begunMs);
            log.check(event?.sequence === seen + 1n, () => `a watch of ${name} got event ${event?.sequence} after ${seen}`);
            seen = event?.sequence ?? seen;
            events++;
            begin();
          }
        } catch (error) {
          log.problem(`a watch of ${name} failed after event ${seen}: ${(error as Error).message}`);
        }
        begin();
        if (seen > (newest.get(name) ?? 0n)) newest.set(name, seen);
        ends.push({ name, seen });
      })(),
    );
    await first;
  });
  await Promise.all(begun);
  return async () => {
    await Promise.all(watching);
    for (const { name, seen } of ends)
      log.check(seen === newest.get(name), () => `a watch of ${name} ended after event ${seen} of ${newest.get(name)}`);
    for (const client of clients) client.close();
    return log.answers({ watchers, connections: clients.length, events });
  };
}

if (process.send && process.argv[1]?.endsWith('watchers.ts')) runChild(open);
