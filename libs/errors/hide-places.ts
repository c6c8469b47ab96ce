/**
 * Takes places of this machine and of its network out of texts that callers read: folders, stores, addresses, stack traces. A path inside a data root is
 * shown relative to the root, since that is what the owner of the data knows it by.
 */
import { relative, resolve } from 'node:path';

export interface Places {
  /** Folders whose content may be named. */
  readonly roots?: readonly string[];
  /** Stores and folders as they were given, which may contain what a path in a text does not: spaces. */
  readonly hidden?: readonly string[];
}

const STORE = '(a store)';
const PATH = '(a path)';
const ADDRESS = '(an address)';

const uri = String.raw`\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'<>,;)]*`;
const path = String.raw`(?<![\w.:/~%)}\]-])~?\/[^\s"'<>,;:()]+|\b[a-z]:\\[^\s"'<>,;()]+`;
const quotedPath = String.raw`"~?\/[^"\n]*"|'~?\/[^'\n]*'`;
const ipv4 = String.raw`\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b`;
const ipv6 = String.raw`\[[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*\](?::\d{1,5})?`;
// Without brackets, as the system says it, often with a port behind it: eight groups, or fewer with :: among them.
const groups = '[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}';
const bareIpv6 = String.raw`(?<![\w:.])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:${groups})?::(?:${groups})?)(?:(?:\.\d{1,3}){3})?(?::\d{1,5})?\b`;
const hostAndPort = String.raw`\b(?:[a-z][a-z0-9-]{0,62}|[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}):\d{2,5}\b`;
const looked = String.raw`(?<=\b(?:ENOTFOUND|EAI_AGAIN) )\S+`;
const pieces = new RegExp([quotedPath, uri, looked, path, ipv4, ipv6, bareIpv6, hostAndPort].join('|'), 'gi');
const stack = /\n[ \t]+at .*$/s;

export function hidePlaces(text: string, { roots = [], hidden = [] }: Places = {}): string {
  let shown = text.replace(stack, '');
  for (const place of hidden.filter((one) => one !== ''))
    for (const form of new Set([place, ...(place.includes('://') ? [] : [resolve(place)])]))
      if (form.length > 1) shown = shown.replaceAll(form, STORE);
  return shown.replaceAll(pieces, (piece) => {
    const quote = /^["']/.exec(piece)?.[0] ?? '';
    const bare = quote === '' ? piece : piece.slice(1, -1);
    const inside = bare.startsWith('/') ? withinRoot(bare, roots) : undefined;
    if (inside !== undefined) return `${quote}${inside}${quote}`;
    if (bare.startsWith('/') || bare.startsWith('~') || /^[a-z]:\\/i.test(bare)) return PATH;
    return /^(s3|file):/i.test(bare) ? STORE : ADDRESS;
  });
}

/** The way from the root that has the path; undefined: none has it. */
function withinRoot(path: string, roots: readonly string[]): string | undefined {
  for (const root of roots) {
    const way = relative(root, path);
    if (way === '') return '(a data root)';
    if (way !== '..' && !way.startsWith('../') && !way.startsWith('/')) return way;
  }
  return undefined;
}
