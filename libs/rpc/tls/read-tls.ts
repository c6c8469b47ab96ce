/** The files of TLS, read and checked: those of a server, and those of a caller. */
import { contentOrReason } from '#bounds/small-file.js';
import { invalid } from '#errors/errors.js';
import { checkAuthority, checkPair, contentOf, type PemFile } from './certificates.js';

/** PEM. */
export interface ServerTls {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** If given, clients must present a certificate of this authority. */
  readonly clientAuthority?: Buffer;
}

/** PEM. */
export interface ClientTls {
  /** Certificates of the authorities; default: those of the system. */
  readonly authority?: Buffer;
  readonly certificate?: Buffer;
  readonly key?: Buffer;
  /** Name that the server's certificate must have, instead of that in the address. */
  readonly serverName?: string;
}

/** Paths; an empty one counts as none. */
export type TlsPaths = { readonly [P in 'tlsCert' | 'tlsKey' | 'tlsClientCa' | 'tlsCa']?: string | undefined };

/** When the certificates in use expire, in ms. */
export interface TlsExpiry {
  readonly certificateMs: number;
  /** Of the last authority that is left. */
  readonly clientAuthorityMs?: number;
}

export type Contents = readonly (Buffer | Error)[];

const MAX_PEM_BYTES = 1 << 20;
const options = { tlsCert: '--tls-cert', tlsKey: '--tls-key', tlsClientCa: '--tls-client-ca', tlsCa: '--tls-ca' } as const;

/** Reads files; a file that cannot be read is the reason why. */
export const readContents = (paths: readonly string[]): Contents => paths.map((path) => contentOrReason(path, MAX_PEM_BYTES));

/** The files of a server in the order of `serverTlsOf`; undefined without TLS. @throws InvalidArgument if the certificate or the key is missing */
export function serverPaths({ tlsCert = '', tlsKey = '', tlsClientCa = '' }: TlsPaths): string[] | undefined {
  if (tlsCert === '' && tlsKey === '' && tlsClientCa === '') return undefined;
  if (tlsCert === '' || tlsKey === '')
    throw invalid(tlsCert === '' ? options.tlsCert : options.tlsKey, '', 'given, because --tls-cert and --tls-key belong together');
  return [tlsCert, tlsKey, ...(tlsClientCa === '' ? [] : [tlsClientCa])];
}

/** @throws InvalidArgument, which names the file, for what cannot be used */
export function serverTlsOf(paths: readonly string[], contents: Contents, nowMs: number): { tls: ServerTls; expiry: TlsExpiry } {
  const file = (index: number, option: string): PemFile => ({ option, path: paths[index]!, content: contents[index]! });
  const [certificate, key] = [file(0, options.tlsCert), file(1, options.tlsKey)];
  const clientAuthority = paths.length > 2 ? file(2, options.tlsClientCa) : undefined;
  const certificateMs = checkPair(certificate, key, nowMs);
  const tls = { certificate: contentOf(certificate), key: contentOf(key) };
  if (clientAuthority === undefined) return { tls, expiry: { certificateMs } };
  const clientAuthorityMs = checkAuthority(clientAuthority, nowMs);
  return { tls: { ...tls, clientAuthority: contentOf(clientAuthority) }, expiry: { certificateMs, clientAuthorityMs } };
}

/** The files of a caller in the order of `clientTlsOf`; undefined without TLS. */
export function clientPaths({ tlsCa = '', tlsCert = '', tlsKey = '' }: TlsPaths): string[] | undefined {
  if (tlsCa === '') return undefined;
  return [tlsCa, ...(tlsCert !== '' && tlsKey !== '' ? [tlsCert, tlsKey] : [])];
}

/** @throws InvalidArgument, which names the file, for what cannot be used */
export function clientTlsOf(paths: readonly string[], contents: Contents, nowMs: number): ClientTls {
  const file = (index: number, option: string): PemFile => ({ option, path: paths[index]!, content: contents[index]! });
  const authority = file(0, options.tlsCa);
  checkAuthority(authority, nowMs);
  if (paths.length === 1) return { authority: contentOf(authority) };
  const [certificate, key] = [file(1, options.tlsCert), file(2, options.tlsKey)];
  checkPair(certificate, key, nowMs);
  return { authority: contentOf(authority), certificate: contentOf(certificate), key: contentOf(key) };
}
