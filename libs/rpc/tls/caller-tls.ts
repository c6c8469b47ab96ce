/** The certificates that a process trusts and shows when it calls services, from files that are read again for new connections. */
import { type ClientTls, clientPaths, clientTlsOf, readContents, type TlsPaths } from './read-tls.js';

const LOOK_MS = 1000;

/**
 * A function to be asked for each new connection; undefined without TLS. Files that cannot be used leave the last good ones in use, of which the
 * service says if they do not count any more.
 * @throws InvalidArgument, which names the file, for files that cannot be used at the start
 */
export function callerTls(given: TlsPaths): (() => ClientTls) | undefined {
  const paths = clientPaths(given);
  if (paths === undefined) return undefined;
  let contents = readContents(paths);
  let tls = clientTlsOf(paths, contents, Date.now());
  let readAt = performance.now();
  return () => {
    const now = performance.now();
    if (now - readAt < LOOK_MS) return tls;
    readAt = now;
    const found = readContents(paths);
    if (found.every((content, index) => Buffer.isBuffer(content) && content.equals(contents[index] as Buffer))) return tls;
    try {
      tls = clientTlsOf(paths, found, Date.now());
      contents = found;
    } catch {
      // The last good ones stay.
    }
    return tls;
  };
}
