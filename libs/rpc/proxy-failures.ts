/**
 * Why connections through a proxy failed. grpc-js writes the reason to its log and gives its calls none ("Last error: undefined"), so it is taken from
 * the log, where nobody could tell which call it is about.
 */
import { setLogger } from '@grpc/grpc-js';
import { RecentMap } from '#bounds/recent-map.js';

/** Older reasons say nothing about a call that fails now: it is connected again within seconds. */
const RECENT_MS = 30_000;
/** The reason by the service that was wanted; under '' for the proxy itself, of which a process has one. */
const failures = new RecentMap<string, { readonly reason: string; readonly atMs: number }>(256);
let kept = false;

/** From now on, the lines in the log of grpc-js that say why a proxy failed are kept. All others are written as before. */
export function keepProxyFailures(): void {
  if (kept) return;
  kept = true;
  setLogger({
    error: (...line: unknown[]) => {
      if (!note(line.join(' '))) console.error('E', ...line);
    },
    info: (...line: unknown[]) => console.error('I', ...line),
    debug: (...line: unknown[]) => console.error('D', ...line),
  });
}

/** @param wanted host:port of the service */
export function recentProxyFailure(wanted: string): string | undefined {
  const found = failures.get(wanted) ?? failures.get('');
  return found !== undefined && performance.now() - found.atMs < RECENT_MS ? found.reason : undefined;
}

/** Whether the line says why a proxy failed. */
function note(line: string): boolean {
  const unreachable = /^Failed to connect to proxy \S+ with error (.*)$/s.exec(line);
  const refused = /^Failed to connect to (\S+) through proxy \S+ with status (\d+)$/.exec(line);
  if (!unreachable && !refused) return false;
  const reason = unreachable ? unreachable[1] : `it answered with the HTTP status ${refused?.[2]}`;
  failures.set(refused?.[1] ?? '', { reason: reason as string, atMs: performance.now() });
  return true;
}
