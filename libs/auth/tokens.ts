/**
 * Bearer tokens: `dst_ID_SECRET`. The id is public and names the token in lists; the secret has 256 random bits, so that its plain SHA-256 can be kept.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export const tokenIdPattern = /^[0-9a-f]{12}$/;
const tokenPattern = /^dst_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/;

export interface NewToken {
  readonly id: string;
  /** What the caller sends. Nobody keeps it but the caller. */
  readonly text: string;
  readonly sha256: string;
}

export function createToken(): NewToken {
  const id = randomBytes(6).toString('hex');
  const text = `dst_${id}_${randomBytes(32).toString('base64url')}`;
  return { id, text, sha256: hashOf(text).toString('hex') };
}

/** The id in a token's text; undefined if it is none of ours. */
export const tokenIdOf = (text: string): string | undefined => tokenPattern.exec(text)?.[1];

/** Whether a bearer token has the form of a JWT, whose header is a JSON object. */
export const isJwt = (text: string): boolean => /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/.test(text);

const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();
const nobodys = randomBytes(32);

/** Compares in the same time whether the hash is right, wrong or unknown. */
export function isTokenOf(text: string, sha256: Buffer | undefined): boolean {
  return timingSafeEqual(hashOf(text), sha256 ?? nobodys) && sha256 !== undefined;
}
