/** Who makes a call, and what a call shows to prove it. */
import type { Role } from './policy.js';

export interface Identity {
  /** Name of the caller in logs, errors and records. */
  readonly principal: string;
  /** Role by the id of the project, or `*` for all projects. */
  readonly grants: ReadonlyMap<string, Role>;
  /** Aborts when the credential expires, is revoked or gets other roles; the reason is an error of errors.ts. Streams end with it. */
  readonly ended: AbortSignal;
}

/** What a call shows. */
export interface Shown {
  /** Values of the header `authorization`. */
  readonly authorization: readonly string[];
  /** The certificate that TLS has verified; only asked for where there is no `authorization`. */
  readonly certificate: () => ShownCertificate | undefined;
}

export interface ShownCertificate {
  /** URIs among its subject alternative names, for example SPIFFE ids. */
  readonly uris: readonly string[];
  /** SHA-256 of the certificate, as pairs of hexadecimal digits with colons. */
  readonly fingerprint: string;
}

/**
 * Finds out who calls; undefined: the call shows nothing. A promise only for a JWT that is not known yet.
 * @throws Unauthenticated for a credential that does not count, Unavailable while that cannot be found out
 */
export type Identify = (shown: Shown) => Identity | undefined | Promise<Identity>;

const never = new AbortController().signal;
const allowed: ReadonlyMap<string, Role> = new Map([['*', 'operator']]);

/** Where only certificates are demanded: whoever has one of the authority may do everything, and its URI is the name of the caller. */
export const byCertificateAlone = ({ certificate }: Shown): Identity | undefined => {
  const shown = certificate();
  return shown && { principal: shown.uris[0] ?? `certificate ${shown.fingerprint}`, grants: allowed, ended: never };
};

/**
 * The URIs in Node's text of the subject alternative names: `DNS:a, URI:spiffe://x/y`. A value that could be mistaken for several entries is a JSON
 * string there, so that a name of one kind cannot pass for another.
 */
export function uriNames(subjectAltName: string | undefined): string[] {
  const uris: string[] = [];
  for (const [, kind, quoted, plain] of (subjectAltName ?? '').matchAll(/([A-Za-z ]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))(?:, |$)/gy))
    if (kind === 'URI') uris.push(quoted === undefined ? (plain ?? '') : String(JSON.parse(quoted)));
  return uris;
}
