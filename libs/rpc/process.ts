/**
 * The life of a service's process. SIGTERM, SIGINT and having nothing left to do drain it, and it exits with 0; SIGINT comes from a person at a terminal,
 * who waits, and not from a platform whose load balancers have to learn of it, so that it drains without delay. A second signal makes it exit at once. An
 * uncaught error is logged, and it exits with 1. A parent process with an IPC channel receives the ports.
 */

import { InvalidArgument } from '#errors/errors.js';
import { createLogger, type Logger } from '#telemetry/logger.js';
import { serviceRatio, startTracing, type Tracing } from '#telemetry/start-tracing.js';
import { mapLowerErrors } from './map-lower-errors.js';

export interface DrainableService {
  readonly port?: number;
  readonly adminPort?: number;
  readonly tls?: boolean;
  /** Aborts when nothing is left to do: then the service is drained, and the process exits with 0. */
  readonly finished?: AbortSignal | undefined;
  /** `delayMs`: how long it still serves all calls; default: as it is configured. */
  drain(options?: { readonly delayMs?: number }): Promise<void>;
}

export interface RunOptions {
  readonly name: string;
  readonly start: () => Promise<DrainableService>;
  /** Default: a new logger. */
  readonly logger?: Logger;
}

/** The message that a started child sends to its parent. */
export interface StartedMessage {
  readonly kind: 'started';
  readonly name: string;
  readonly port: number | undefined;
  readonly adminPort: number | undefined;
  /** Whether the port speaks TLS. */
  readonly tls: boolean;
}

/** Exit code for an invalid configuration, which a restart cannot fix. */
const exitUsage = 2;

/** Milliseconds for which the last spans may delay the end of a process. */
const lastSpansMs = 2000;

/** Runs the service until a signal arrives, and then exits the process. */
export async function runService({ name, start, logger = createLogger({ service: name }) }: RunOptions): Promise<void> {
  let running: DrainableService | undefined;
  let stopping: NodeJS.Signals | 'finished' | undefined;
  let tracing: Tracing | undefined;

  const stop = async (signal: NodeJS.Signals | 'finished'): Promise<void> => {
    if (stopping && signal === 'finished') return;
    if (stopping === 'finished') {
      // It was ending by itself, so this signal is the first one.
      stopping = signal;
      return;
    }
    if (stopping) {
      logger.warn({ signal }, 'second signal, exiting at once');
      process.exit(1);
    }
    stopping = signal;
    logger.info({ signal }, 'draining');
    try {
      // Before the start is complete, there is nothing to drain.
      await running?.drain(signal === 'SIGINT' ? { delayMs: 0 } : {});
      await tracing?.close(lastSpansMs);
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
    tracing = await startTracing({ service: `dropstream-${name}`, usualRatio: serviceRatio, logger });
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
  const { finished } = running;
  if (finished?.aborted) void stop('finished');
  else finished?.addEventListener('abort', () => void stop('finished'), { once: true });
  const message: StartedMessage = { kind: 'started', name, port: running.port, adminPort: running.adminPort, tls: running.tls ?? false };
  process.send?.(message);
}
