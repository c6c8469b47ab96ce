/**
 * Changes a byte in a checkpoint that nobody evaluates yet, because all evaluators are frozen: its evaluation must fail and say why. There must be
 * another checkpoint that is whole, because any worker may be killed meanwhile.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { checkpointOf, type Damage, NO_ROOM } from './damage.js';
import type { Lanes } from './lanes.js';
import type { System } from './system.js';
import type { Victims } from './victims.js';
import type { WatchedRun } from './watched-run.js';

const LIMIT_MS = 60_000;
/** How long evaluators are frozen at most, and how long they work before they are frozen again. */
const FROZEN_MS = 15_000;
const PAUSE_MS = 2000;
const NOTHING = 'no run has a new checkpoint to evaluate and an older one, so that none is damaged';

interface Parts {
  readonly system: System;
  readonly lanes: Lanes;
  readonly damage: Damage;
  readonly say: (text: string) => void;
  readonly victims: Victims;
  readonly signal: AbortSignal;
}

/** Tries it for a minute: a run may end, or be kept from training, while the evaluators are frozen. */
export async function damageUnevaluated(parts: Parts, share: number): Promise<void> {
  const { lanes, victims, say, signal } = parts;
  for (const end = performance.now() + LIMIT_MS; performance.now() < end; await delay(PAUSE_MS, undefined, { signal })) {
    const run = await victims.find(end - performance.now(), () => lanes.runs.find((one) => one.training && lanes.hasNextEvaluation(one)));
    if (run === undefined) return say(NOTHING);
    if (await damageNext(parts, run, share)) return;
  }
}

/** @returns false if there was no such checkpoint, or it may be evaluated as if it were whole */
async function damageNext({ system, lanes, damage, say, victims }: Parts, run: WatchedRun, share: number): Promise<boolean> {
  const all = system.of('evaluator');
  const evaluators = all.filter(({ works }) => works);
  say('all evaluators are frozen until a checkpoint that they do not know is damaged');
  for (const one of evaluators) one.freeze();
  const wakes = all.map((one) => one.wakes);
  // Another fault may set an evaluator going again, or start it, and freeze it once more.
  const stillFrozen = (): boolean => all.every((one, k) => !one.works && one.wakes === wakes[k]);
  try {
    // What the store has by now, an evaluator may have read before it was frozen, even if the watch of the run does not show it yet.
    const known = await damage.committed(system.store, run);
    const part = await victims.find(FROZEN_MS, async () => {
      const newest = run.checkpoints.at(-1);
      if (newest === undefined || known.has(newest.name) || !lanes.isEvaluated(newest.step))
        return run.ended || !lanes.hasNextEvaluation(run) ? null : undefined;
      const found = await damage.newestOfSeveral(system.store, run);
      return found && checkpointOf(found.key) === newest.name ? found : undefined;
    });
    if (!part) say(NOTHING);
    if (!part) return false;
    const done = await damage.alter(system.store, part, share);
    say(done ?? NO_ROOM);
    if (done === undefined || !stillFrozen()) return false;
    damage.unevaluable.add(checkpointOf(part.key));
    return true;
  } finally {
    for (const one of evaluators) one.thaw();
  }
}
