/** The options that all services have, and schemas for a service's own options. */
import { z } from 'zod';
import { readSmallFile } from '#bounds/small-file.js';
import { invalid } from '#errors/errors.js';
import { type LogLevel, logLevels } from '#telemetry/logger.js';
import { wrongAddress } from './address.js';
import type { ConfigOf, OptionTable } from './config.js';
import type { ServerTls } from './server.js';

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
      help: 'allow the service to listen on an address that other machines can reach without TLS',
      flag: true,
    },
    tlsCert: { schema: z.string().default(''), help: 'PEM file with the certificate chain of the server; turns TLS on' },
    tlsKey: { schema: z.string().default(''), help: 'PEM file with the private key for --tls-cert' },
    tlsClientCa: {
      schema: z.string().default(''),
      help: 'PEM file with a certificate authority; callers must present a certificate that it signed',
    },
    logLevel: {
      schema: z.enum(logLevels as [LogLevel, ...LogLevel[]]).default('info'),
      help: `lowest level that is logged: ${logLevels.join(', ')}`,
    },
    drainMs: { schema: integer(0, 3_600_000).default(25_000), help: 'milliseconds that running calls have to finish after SIGTERM' },
    maxConnectionAgeMs: {
      schema: integer(0, 86_400_000).default(300_000),
      help: 'milliseconds after which clients are asked to reconnect, so that they find new replicas; 0: never',
    },
  } as const satisfies OptionTable;
}

export type ServiceConfig = ConfigOf<ReturnType<typeof serviceOptions>>;

/**
 * Reads the PEM files; returns undefined without TLS. Throws InvalidArgument if only one of certificate and key is given, or a file is unreadable.
 */
export function readTls(config: Pick<ServiceConfig, 'tlsCert' | 'tlsKey' | 'tlsClientCa'>): ServerTls | undefined {
  const { tlsCert, tlsKey, tlsClientCa } = config;
  if (tlsCert === '' && tlsKey === '' && tlsClientCa === '') return undefined;
  if (tlsCert === '' || tlsKey === '')
    throw invalid(tlsCert === '' ? '--tls-cert' : '--tls-key', '', 'given, because --tls-cert and --tls-key belong together');
  return {
    certificate: read('--tls-cert', tlsCert),
    key: read('--tls-key', tlsKey),
    ...(tlsClientCa === '' ? {} : { clientAuthority: read('--tls-client-ca', tlsClientCa) }),
  };
}

const MAX_PEM_BYTES = 1 << 20;

function read(option: string, path: string): Buffer {
  try {
    return readSmallFile(path, MAX_PEM_BYTES);
  } catch (cause) {
    throw invalid(option, path, `a readable file (${(cause as Error).message})`);
  }
}
