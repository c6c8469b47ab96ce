/** The quotas of a service, with a log line for each change of their file. */
import { Quotas } from '#auth/quotas.js';
import type { Logger } from '#telemetry/logger.js';

/** The caller closes them. @throws InvalidArgument for a file that cannot be used */
export function openQuotas(path: string, logger: Logger): Quotas {
  return new Quotas({
    path,
    onChange: () => logger.info({ path }, 'the quotas have changed'),
    onFault: (error) => logger.error({ path, error }, 'the file of quotas cannot be used, so the last good ones stay'),
    onWell: () => logger.info({ path }, 'the file of quotas can be used again'),
  });
}
