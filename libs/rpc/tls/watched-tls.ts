/**
 * The certificate, the key and the client authority of a server, from files that are read again when they change. Files that cannot be used change
 * nothing: the last good ones stay, and a log line and a gauge say so.
 */
import type { Registry } from 'prom-client';
import { SettledFiles } from '#bounds/settled-files.js';
import type { Logger } from '#telemetry/logger.js';
import { createTlsMetrics } from '#telemetry/tls-metrics.js';
import { readContents, type ServerTls, serverPaths, serverTlsOf, type TlsPaths } from './read-tls.js';

/** Calls the function with each later state of the files, until the returned one is called. */
export type FollowTls = (use: (tls: ServerTls) => void) => () => void;

export interface WatchedTls {
  /** Those in use. */
  readonly current: ServerTls;
  /** Whether the certificate in use has expired, so that no caller connects. */
  readonly expired: boolean;
  readonly follow: FollowTls;
  close(): void;
}

export interface WatchTlsOptions {
  readonly paths: TlsPaths;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Milliseconds between looks at the files; default 500. */
  readonly lookMs?: number;
}

const LOOK_MS = 500;

/** The caller closes it. @returns undefined without TLS @throws InvalidArgument, which names the file, for files that cannot be used */
export function watchTls({ paths: given, logger, registry, lookMs = LOOK_MS }: WatchTlsOptions): WatchedTls | undefined {
  const paths = serverPaths(given);
  if (paths === undefined) return undefined;
  const contents = readContents(paths);
  let { tls, expiry } = serverTlsOf(paths, contents, Date.now());
  const metrics = createTlsMetrics(registry);
  metrics.expiry(expiry);
  const followers = new Set<(tls: ServerTls) => void>();
  let toldOfExpiry = false;
  const hasExpired = (): boolean => expiry.certificateMs <= Date.now();
  const files = new SettledFiles(
    {
      read: () => readContents(paths),
      lookMs,
      use: (found) => {
        ({ tls, expiry } = serverTlsOf(paths, found, Date.now()));
        toldOfExpiry = false;
        metrics.expiry(expiry);
        logger.info({ files: paths, expires: new Date(expiry.certificateMs).toISOString() }, 'the certificates were read again');
        for (const use of followers) use(tls);
      },
      onFault: (error) => {
        metrics.unusable(true);
        logger.error({ error }, 'the files of certificates cannot be used, so the last good ones stay');
      },
      onWell: () => {
        metrics.unusable(false);
        logger.info({ files: paths }, 'the files of certificates can be used again');
      },
      onLook: () => {
        if (toldOfExpiry || !hasExpired()) return;
        toldOfExpiry = true;
        logger.error({ file: paths[0] }, 'the certificate in use has expired, so the service is not ready');
      },
    },
    contents,
  );
  return {
    get current() {
      return tls;
    },
    get expired() {
      return hasExpired();
    },
    follow: (use) => {
      followers.add(use);
      return () => void followers.delete(use);
    },
    close: () => files.close(),
  };
}
