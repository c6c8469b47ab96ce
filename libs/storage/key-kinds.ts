/** What kind of object a key or the prefix of a listing belongs to, in few words, for spans and metrics: no name of a project, a run or an object. */

/** Words that stand in keys at a place where all keys of a layout have a word. */
const words = new Set([
  ...['runs', 'schedules', 'evaluations', 'index', 'manifests', 'none-of-01', 'incarnations'],
  ...['log', 'log-snapshots', 'heartbeats', 'checkpoints', 'checkpoint-pins', 'revisions', 'series'],
  ...['run-queue', 'evaluation-queue', 'run-waiting', 'evaluation-waiting', 'manifest-locations', 'datasets'],
]);

/**
 * e.g. `runs/log` for projects/p/runs/r/UID/log/000000000001, `runs/incarnations`, `index`, `manifests`; `projects` for what ends before the kind is
 * named, and `other` for what is not in this layout.
 */
export function kindOfKey(key: string): string {
  const [first = '', , collection = '', , fifth = '', sixth = ''] = key.split('/');
  if (first !== 'projects') return words.has(first) ? first : 'other';
  if (collection === '') return 'projects';
  if (!words.has(collection)) return 'other';
  const part = fifth === 'incarnations' ? fifth : sixth;
  return words.has(part) ? `${collection}/${part}` : collection;
}
