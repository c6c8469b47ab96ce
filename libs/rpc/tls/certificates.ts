/** Certificates and keys in PEM files: what is in them, whether they can be used, and whether a chain ends at an authority. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type InvalidArgument, invalid } from '#errors/errors.js';

/** The content of a file, and how messages name it. */
export interface PemFile {
  readonly option: string;
  readonly path: string;
  /** The content, or why it cannot be read. */
  readonly content: Buffer | Error;
}

const block = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;
/** How far the clocks of two machines may differ: whoever makes a certificate lets it begin now. */
const CLOCKS_MS = 5 * 60_000;
const LONGEST_CHAIN = 10;

export const endsAtMs = (certificate: X509Certificate): number => Date.parse(certificate.validTo);
const beginsAtMs = (certificate: X509Certificate): number => Date.parse(certificate.validFrom);
const shown = (ms: number): string => new Date(ms).toISOString();

/** @throws InvalidArgument for a file that cannot be read */
export function contentOf({ option, path, content }: PemFile): Buffer {
  if (content instanceof Error) throw invalid(option, path, `a readable file (${content.message})`);
  return content;
}

/** All certificates of a file. @throws InvalidArgument without any, and for one that cannot be parsed */
export function certificatesOf(file: PemFile): [X509Certificate, ...X509Certificate[]] {
  const [first, ...others] = contentOf(file).toString('latin1').match(block) ?? [];
  if (first === undefined) throw invalid(file.option, file.path, 'a file with a certificate in PEM; it holds none');
  try {
    return [new X509Certificate(first), ...others.map((text) => new X509Certificate(text))];
  } catch {
    throw invalid(file.option, file.path, 'a file with certificates in PEM; one of them is damaged');
  }
}

/**
 * Checks a certificate and its key.
 * @returns when the certificate expires, in ms
 * @throws InvalidArgument if the certificate is not in force, or the key is not its key
 */
export function checkPair(certificate: PemFile, key: PemFile, nowMs: number): number {
  const [own] = certificatesOf(certificate);
  const wrong = (what: string): InvalidArgument => invalid(certificate.option, certificate.path, what);
  if (endsAtMs(own) <= nowMs) throw wrong(`a certificate that has not expired; this one expired at ${shown(endsAtMs(own))}`);
  if (beginsAtMs(own) > nowMs + CLOCKS_MS) throw wrong(`a certificate that is valid now; this one begins at ${shown(beginsAtMs(own))}`);
  let secret: KeyObject;
  try {
    secret = createPrivateKey(contentOf(key));
  } catch (cause) {
    if ((cause as Error).name === 'InvalidArgument') throw cause;
    throw invalid(key.option, key.path, 'a file with a private key in PEM that needs no passphrase');
  }
  if (!own.checkPrivateKey(secret)) throw invalid(key.option, key.path, `the key of the certificate in ${certificate.path}`);
  try {
    createSecureContext({ cert: contentOf(certificate), key: contentOf(key) });
  } catch (cause) {
    throw wrong(`a certificate that TLS accepts with its key (${(cause as Error).message})`);
  }
  return endsAtMs(own);
}

/**
 * Checks the certificates of authorities.
 * @returns when the last of them expires, in ms
 * @throws InvalidArgument if there is none that is in force
 */
export function checkAuthority(file: PemFile, nowMs: number): number {
  const certificates = certificatesOf(file);
  const endMs = Math.max(...certificates.map(endsAtMs));
  if (endMs <= nowMs)
    throw invalid(file.option, file.path, `certificates of which one has not expired; the last expired at ${shown(endMs)}`);
  try {
    createSecureContext({ ca: contentOf(file) });
  } catch (cause) {
    throw invalid(file.option, file.path, `certificates that TLS accepts (${(cause as Error).message})`);
  }
  return endMs;
}

/**
 * Whether a chain that TLS has verified before ends at one of these authorities, as TLS would decide now: at a certificate that signed itself, with
 * every certificate on the way in force.
 * @param chain the caller's own certificate and those that it has sent with it
 */
export function standsUnder(chain: readonly X509Certificate[], authorities: readonly X509Certificate[], nowMs: number): boolean {
  const trusted = new Set(authorities.map(({ fingerprint256 }) => fingerprint256));
  const issuers = [...chain.slice(1, LONGEST_CHAIN), ...authorities];
  // Each certificate is followed once, so that a chain with many ways costs no more than its length.
  const followed = new Set<string>();
  const stands = (certificate: X509Certificate, depth: number): boolean => {
    if (followed.has(certificate.fingerprint256) || depth > LONGEST_CHAIN) return false;
    followed.add(certificate.fingerprint256);
    if (endsAtMs(certificate) <= nowMs || beginsAtMs(certificate) > nowMs) return false;
    if (trusted.has(certificate.fingerprint256) && issued(certificate, certificate)) return true;
    return issuers.some((issuer) => issued(certificate, issuer) && stands(issuer, depth + 1));
  };
  return chain[0] !== undefined && stands(chain[0], 0);
}

const issued = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
