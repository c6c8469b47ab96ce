/** The certificates that a process trusts and shows when it calls services, from files that are read again for new connections. */
import { reread } from '#bounds/reread.js';
import { type ClientTls, type Contents, clientPaths, clientTlsOf, readContents, type TlsPaths } from './read-tls.js';

/**
 * A function to be asked for each new connection; undefined without TLS. Files that cannot be used leave the last good ones in use, of which the
 * service says if they do not count any more.
 * @throws InvalidArgument, which names the file, for files that cannot be used at the start
 */
export function callerTls(given: TlsPaths): (() => ClientTls) | undefined {
  const paths = clientPaths(given);
  if (paths === undefined) return undefined;
  let used: { readonly contents: Contents; readonly tls: ClientTls } | undefined;
  return reread(() => {
    const contents = readContents(paths);
    // Equal contents are the same object, so that channels keep what they have made of it.
    const isUsed = contents.every(
      (content, index) => Buffer.isBuffer(content) && used !== undefined && content.equals(used.contents[index] as Buffer),
    );
    if (used === undefined || !isUsed) used = { contents, tls: clientTlsOf(paths, contents, Date.now()) };
    return used.tls;
  });
}
