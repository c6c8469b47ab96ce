/** The identities of a service, with a log line for each change of their file. */
import { Identities } from '#auth/identities.js';
import type { Logger } from '#telemetry/logger.js';
import { keysFetcher } from './fetch-keys.js';

/** The caller closes them. @returns undefined for an empty path @throws InvalidArgument for a file that cannot be used */
export function openIdentities(path: string, logger: Logger): Identities | undefined {
  if (path === '') return undefined;
  return new Identities({
    path,
    fetchKeys: keysFetcher(),
    onChange: (principals) => logger.info({ path, principals }, 'the identities have changed'),
    onFault: (error) =>
      logger.error({ path, error }, 'the file of identities or the keys of an issuer cannot be used, so the last good ones stay'),
  });
}
