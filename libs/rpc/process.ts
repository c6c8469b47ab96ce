/**
 * The life of a service's process: SIGTERM and SIGINT drain it and exit 0, a second signal exits at once, anything uncaught is logged and
 * exits 1. A parent that started it with an IPC channel is told the ports.
 */

import { InvalidArgument } from '#errors/errors.js';
import { createLogger, type Logger } from '#telemetry/logger.js';
import { mapLowerErrors } from './map-lower-errors.js';

export interface DrainableService {
  readonly port?: number;
  readonly adminPort?: number;
  drain(): Promise<void>;
}

export interface RunOptions {
  readonly name: string;
  readonly start: () => Promise<DrainableService>;
  /** Default: a new one. */
  readonly logger?: Logger;
}

/** What a started child sends its parent. */
export interface StartedMessage {
  readonly kind: 'started';
  readonly name: string;
  readonly port: number | undefined;
  readonly adminPort: number | undefined;
}

/** Exit code for a configuration that is refused: nothing a restart could mend. */
const exitUsage = 2;

/** Runs until a signal, then exits the process. */
export async function runService({ name, start, logger = createLogger({ service: name }) }: RunOptions): Promise<void> {
  let running: DrainableService | undefined;
  let stopping = false;

  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) {
      logger.warn({ signal }, 'second signal, exiting at once');
      process.exit(1);
    }
    stopping = true;
    logger.info({ signal }, 'draining');
    try {
      // Before start has finished there is nothing to drain.
      await running?.drain();
      logger.info('stopped');
      process.exit(0);
    } catch (error) {
      logger.error({ error }, 'draining failed');
      process.exit(1);
    }
  };
  process.on('SIGTERM', (signal) => void stop(signal));
  process.on('SIGINT', (signal) => void stop(signal));
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      logger.fatal({ error }, event);
      process.exit(1);
    });
  }

  try {
    running = await start();
  } catch (thrown) {
    const error = mapLowerErrors(thrown) ?? thrown;
    if (error instanceof InvalidArgument) {
      for (const { field, value, allowed } of error.violations) logger.fatal({ field, value, allowed }, 'configuration refused');
      process.exit(exitUsage);
    }
    logger.fatal({ error }, 'start failed');
    process.exit(1);
  }
  const message: StartedMessage = { kind: 'started', name, port: running.port, adminPort: running.adminPort };
  process.send?.(message);
}
