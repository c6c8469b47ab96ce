/** Addresses within the console: `#/` and the name of what is shown, with options behind a question mark. */
export interface Route {
  /** projects/{project}. */
  readonly project: string;
  readonly page: 'runs' | 'run' | 'new-run' | 'compare' | 'schedules' | 'schedule' | 'data' | 'system' | 'unknown';
  /** Id of the run or schedule, or the SHA-256 of a manifest. */
  readonly id: string;
  readonly options: URLSearchParams;
}

const DEFAULT_PROJECT = 'projects/default';

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#?\/?/, '').split('?', 2);
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decode);
  const options = new URLSearchParams(query);
  if (parts.length === 0) return { project: DEFAULT_PROJECT, page: 'runs', id: '', options };
  const [collection, project = '', place = 'runs', id = '', ...more] = parts;
  const route = { project: `projects/${project}`, id, options };
  if (collection !== 'projects' || project === '' || more.length > 0) return { ...route, project: DEFAULT_PROJECT, page: 'unknown' };
  if (place === 'runs') return { ...route, page: id === '' ? 'runs' : 'run' };
  if (place === 'schedules') return { ...route, page: id === '' ? 'schedules' : 'schedule' };
  if (place === 'data') return { ...route, page: 'data' };
  if (id === '' && (place === 'new-run' || place === 'compare' || place === 'system')) return { ...route, page: place };
  return { ...route, page: 'unknown' };
}

/** The link to a resource or page: `link('projects/p/runs/r')`. */
export function link(name: string, options: Record<string, string> = {}): string {
  const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value !== '')).toString();
  return `#/${name.split('/').map(encodeURIComponent).join('/')}${query === '' ? '' : `?${query}`}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
