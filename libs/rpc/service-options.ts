/** The options that all services have, and schemas for a service's own options. */
import { z } from 'zod';
import { callerToken } from '#auth/caller-token.js';
import { type LogLevel, logLevels } from '#telemetry/logger.js';
import { wrongAddress } from './address.js';
import { checkTokenIsSafe } from './caller-credentials.js';
import type { ConnectOptions } from './client.js';
import type { ConfigOf, OptionTable } from './config.js';
import { callerTls } from './tls/caller-tls.js';
import type { TlsPaths } from './tls/read-tls.js';

/** Accepts `true`, `false`, `1`, `0`, `yes`, `no` or a JSON boolean. */
export const bool = (fallback: boolean) =>
  z
    .union([z.boolean(), z.enum(['true', 'false', '1', '0', 'yes', 'no']).transform((t) => t === 'true' || t === '1' || t === 'yes')], {
      error: 'true or false',
    })
    .default(fallback);

export const integer = (min: number, max: number) => z.coerce.number({ error: 'a number' }).int().min(min).max(max);

/** The address of a service. @param port its default port, for messages */
export const serviceAddress = (port: number) =>
  z.string().superRefine((text, context) => {
    const wrong = wrongAddress(text, port);
    if (wrong !== undefined) context.addIssue({ code: 'custom', message: wrong });
  });

/** The address of a service that may be absent. */
export const addressOrEmpty = (port: number) => z.union([z.literal(''), serviceAddress(port)]);

export interface ServiceDefaults {
  /** Default of the gRPC port; the default of the admin port is 1000 higher. */
  readonly port: number;
}

export function serviceOptions({ port }: ServiceDefaults) {
  return {
    host: { schema: z.string().min(1).default('127.0.0.1'), help: 'address on which the gRPC server listens' },
    port: { schema: integer(0, 65535).default(port), help: 'port of the gRPC server; 0: any free port' },
    adminHost: {
      schema: z.string().min(1).default('127.0.0.1'),
      help: 'address on which the admin server (/metrics, /livez and /readyz) listens',
    },
    adminPort: {
      schema: integer(0, 65535).default(port === 0 ? 0 : port + 1000),
      help: 'port of the admin server (/metrics, /livez and /readyz); 0: any free port',
    },
    allowRemote: {
      schema: bool(false),
      help: 'allow the service to listen on an address that other machines can reach without TLS, and the admin server to do so beside a service with TLS',
      flag: true,
    },
    identities: {
      schema: z.string().default(''),
      help: 'JSON file with the callers that are admitted, their roles and the hashes of their tokens, made by `dropstream token`; it is read again when it changes; empty: everybody is admitted, or with --tls-client-ca everybody who has a certificate',
    },
    quotas: {
      schema: z.string().default(''),
      help: 'JSON file with what each project may use at most, and its share of the workers; it is read again when it changes; empty: nothing is limited, and all projects have equal shares',
    },
    allowAnonymous: {
      schema: bool(false),
      help: 'allow the service to admit everybody on an address that other machines can reach',
      flag: true,
    },
    auditLog: {
      schema: z.string().default(''),
      help: 'file to which a JSON line is appended for every change that a caller asks for and for every refusal, of this process alone; -: the standard output; empty: none',
    },
    auditLogBytes: {
      schema: integer(1 << 16, 2 ** 40).default(64 << 20),
      help: 'size in bytes at which the file of --audit-log is replaced by a new one',
    },
    auditLogFiles: {
      schema: integer(1, 1000).default(8),
      help: 'number of files of --audit-log that are kept: FILE, FILE.1 and so on; the oldest is deleted',
    },
    tlsCert: {
      schema: z.string().default(''),
      help: 'PEM file with the certificate chain of the server; turns TLS on; read again when it changes, as are the other PEM files',
    },
    tlsKey: { schema: z.string().default(''), help: 'PEM file with the private key for --tls-cert' },
    tlsClientCa: {
      schema: z.string().default(''),
      help: 'PEM file with a certificate authority; callers must present a certificate that it signed',
    },
    tokenFile: {
      schema: z.string().default(''),
      help: 'file with the token that this service shows to the services that it calls; it is read again when it changes',
    },
    tlsCa: {
      schema: z.string().default(''),
      help: 'PEM file with the certificate authority of the services that this one calls, which turns TLS on for these calls; with --tls-cert, they are shown that certificate',
    },
    logLevel: {
      schema: z.enum(logLevels as [LogLevel, ...LogLevel[]]).default('info'),
      help: `lowest level that is logged: ${logLevels.join(', ')}`,
    },
    drainDelayMs: {
      schema: integer(0, 600_000).default(5000),
      help: 'milliseconds after SIGTERM for which a service that says that it is not ready still serves all calls, so that load balancers and clients can learn it first; workers stop at once; 0 for SIGINT',
    },
    drainMs: {
      schema: integer(0, 3_600_000).default(25_000),
      help: 'milliseconds after --drain-delay-ms that running calls have to finish, while no new ones are taken',
    },
    maxConnectionAgeMs: {
      schema: integer(0, 86_400_000).default(300_000),
      help: 'milliseconds after which clients are asked to reconnect, so that they find new replicas; 0: never',
    },
  } as const satisfies OptionTable;
}

export type ServiceConfig = ConfigOf<ReturnType<typeof serviceOptions>>;

/**
 * How a process calls services: with TLS if the authority of their certificates is given, and with a token. All files are read again.
 * @param addresses those that it calls
 * @throws InvalidArgument for a file that cannot be used, and for an address that the token would be sent to in plain text
 */
export function callerOptions(
  files: TlsPaths & { readonly tokenFile?: string | undefined },
  addresses: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Pick<ConnectOptions, 'tls' | 'token'> {
  const token = callerToken(files.tokenFile, env);
  const tls = callerTls(files);
  const options = { ...(tls === undefined ? {} : { tls }), ...(token === undefined ? {} : { token }) };
  for (const address of addresses) if (address !== '') checkTokenIsSafe(address, options);
  return options;
}
