/** What the form begins with: nothing, the options of another run, or a checkpoint or schedule to start from. */

import { shownOptions } from '#spec/shown-options.js';
import { call } from '../api/call.js';
import type { Values } from './spec-of.js';

/** `like`: id of a run. */
export async function firstValues(project: string, from: URLSearchParams, signal: AbortSignal): Promise<Values> {
  const like = from.get('like') ?? from.get('finetune')?.split('/')[3] ?? '';
  const values: Record<string, string> = {};
  if (like !== '') {
    const { run } = await call('TrainerService/GetRun', { name: `${project}/runs/${like}` }, { signal });
    for (const { option, value, differs } of shownOptions(run?.spec ?? {}))
      if (differs || kept.has(option.name)) values[option.name] = value;
    // The stored schedule stands for these.
    if (run?.spec?.schedule) for (const name of ['dropout', 'drop_path', 'drop_mode', 'drop_schedule', 'cutoff_epoch']) delete values[name];
  }
  for (const name of ['finetune', 'schedule', 'train_manifest', 'eval_manifest']) {
    const value = from.get(name);
    if (value !== null) values[name] = value;
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
}

const kept = new Set(['model', 'train_manifest', 'eval_manifest']);
