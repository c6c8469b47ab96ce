/**
 * Structured logs: one JSON object on each line of stderr, or readable text if stderr is a terminal. Secrets are redacted by their keys, down to
 * three levels of nesting, and by their form everywhere. Whole requests are never logged.
 */
import { type DestinationStream, destination, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import { redacted } from '#errors/redact.js';
import { prettyLine } from './pretty-line.js';

export type Logger = PinoLogger;

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LoggerOptions {
  /** Name of the service, which is on every line. */
  readonly service: string;
  /** Default: DROPSTREAM_LOG_LEVEL of the environment, or else `info`. */
  readonly level?: LogLevel;
  /** `auto` (default): text on a terminal, and JSON otherwise. */
  readonly format?: 'auto' | 'json' | 'text';
  /** Destination of the lines; default stderr. Tests set their own. */
  readonly destination?: DestinationStream;
}

const secretKeys = [
  'password',
  'secret',
  'secretKey',
  'secret_key',
  'accessKey',
  'access_key',
  'token',
  'authorization',
  'sessionToken',
  'key_pem',
];
const redactPaths = secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

/** Values of the log level that `--log-level` allows. */
export const logLevels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

export function createLogger(options: LoggerOptions): Logger {
  const fromEnvironment = process.env.DROPSTREAM_LOG_LEVEL as LogLevel | undefined;
  const level = options.level ?? (fromEnvironment && logLevels.includes(fromEnvironment) ? fromEnvironment : 'info');
  const text = options.format === 'text' || (options.format !== 'json' && options.destination === undefined && process.stderr.isTTY);
  // Lines are written synchronously, so that the last line before a crash is not lost.
  const sink = options.destination ?? destination({ dest: 2, sync: true });
  const stream: DestinationStream = text ? { write: (line) => sink.write(prettyLine(line)) } : sink;
  return pino(
    {
      level,
      base: { service: options.service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: redactPaths, censor: '[redacted]' },
      hooks: { streamWrite: redacted },
      errorKey: 'error',
    },
    stream,
  );
}

/** A logger that writes nothing; for tests, and for libraries used without a service. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
