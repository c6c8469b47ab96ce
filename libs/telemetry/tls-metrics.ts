/** Metrics of a service that has TLS. */
import { Gauge, type Registry } from 'prom-client';

export interface TlsMetrics {
  /** Unix times in ms at which the certificates in use expire. */
  expiry(times: { readonly certificateMs: number; readonly clientAuthorityMs?: number }): void;
  unusable(now: boolean): void;
}

export function createTlsMetrics(registry: Registry): TlsMetrics {
  const end = new Gauge({
    name: 'dropstream_tls_expiry_timestamp_seconds',
    help: 'Unix time at which the certificate of the server expires, or the last authority of client certificates; only with TLS.',
    labelNames: ['use'],
    registers: [registry],
  });
  const unusable = new Gauge({
    name: 'dropstream_tls_files_unusable',
    help: '1 while the files of certificates cannot be used and the last good ones stay in use, otherwise 0; only with TLS.',
    registers: [registry],
  });
  unusable.set(0);
  return {
    expiry: ({ certificateMs, clientAuthorityMs }) => {
      end.set({ use: 'server' }, certificateMs / 1000);
      if (clientAuthorityMs !== undefined) end.set({ use: 'client_authority' }, clientAuthorityMs / 1000);
    },
    unusable: (now) => unusable.set(now ? 1 : 0),
  };
}
