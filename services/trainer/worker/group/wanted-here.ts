/** What a run wants by its log and its owner, of this process: a run waits for it only if it could claim the run. */
import { RecentMap } from '#bounds/recent-map.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { HintKind } from '#work/queue-hints.js';
import type { QueueEntry } from '#work/queue-index.js';
import { wantedOf } from '#work/wanted-of.js';
import { heartbeatPrefix, openRunLog, type RunLog, standingOf } from '../../run/run-log.js';
import type { RunView } from '../../run/run-state.js';

export interface WantedHereOptions {
  readonly store: ObjectStore;
  /** Whether this process could claim the run. */
  readonly could: (view: RunView, signal: AbortSignal) => Promise<boolean>;
}

/** Number of logs that are kept, so that only new records must be read. */
const keptLogs = 256;

export class WantedHere {
  /** By uid of the run. */
  readonly #logs = new RecentMap<string, RunLog>(keptLogs);

  constructor(private readonly options: WantedHereOptions) {}

  /** @throws errors of the store and of the log; the signal's reason */
  async of(entry: QueueEntry, signal: AbortSignal): Promise<HintKind | 'none'> {
    const { store, could } = this.options;
    const view = await this.#logs.getOrMake(entry.uid, () => openRunLog(store, entry)).refresh(signal);
    const wanted = await wantedOf(view && standingOf(view), { store, heartbeatPrefix: heartbeatPrefix(entry) }, signal);
    if (view === undefined || wanted !== 'claim') return wanted;
    return (await could(view, signal)) ? 'claim' : 'none';
  }
}
