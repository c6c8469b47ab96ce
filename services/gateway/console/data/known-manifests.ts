/** The data sets that runs of a project use. There is no list of data sets: a manifest is known by who refers to it. */
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import { idOf } from '../format/words.js';

export interface KnownManifest {
  readonly sha256: string;
  /** What the newest runs use it for. */
  readonly training: readonly string[];
  readonly evaluation: readonly string[];
}

const RUNS_READ = 200;

function manifestsOf(runs: readonly Json<Run>[]): KnownManifest[] {
  const known = new Map<string, { sha256: string; training: string[]; evaluation: string[] }>();
  for (const { name, spec } of runs) {
    for (const [sha256, use] of [
      [spec?.trainManifest, 'training'],
      [spec?.evalManifest, 'evaluation'],
    ] as const) {
      if (!sha256) continue;
      const entry = known.get(sha256) ?? { sha256, training: [], evaluation: [] };
      entry[use].push(idOf(name));
      known.set(sha256, entry);
    }
  }
  return [...known.values()];
}

export async function readManifests(project: string, signal: AbortSignal): Promise<KnownManifest[]> {
  const { runs = [] } = await call(
    'TrainerService/ListRuns',
    { parent: project, pageSize: RUNS_READ, orderBy: 'create_time desc' },
    { signal },
  );
  return manifestsOf(runs);
}

/** `3a7b…`: enough of a SHA-256 for people to tell two apart. */
export const shortSha = (sha256: string): string => `${sha256.slice(0, 10)}…`;
