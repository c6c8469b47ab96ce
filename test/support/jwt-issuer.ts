/** An issuer of JWTs with keys of its own. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

export interface JwtIssuer {
  /** Public keys, as the issuer publishes them. */
  readonly jwks: () => string;
  /** Replaces the key. @returns the id of the new one */
  rotate(): Promise<string>;
  /** A token of the newest key, for the audience `dropstream`, that lasts a minute unless the claims say otherwise; undefined leaves a claim out. */
  token(claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
}

export const issuerUrl = 'https://kubernetes.default.svc.cluster.local';

export async function jwtIssuer(algorithm = 'ES256'): Promise<JwtIssuer> {
  let number = 0;
  const make = async () => {
    const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
    const kid = `key-${++number}`;
    return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, use: 'sig', alg: algorithm } };
  };
  let key = await make();
  return {
    jwks: () => JSON.stringify({ keys: [key.jwk] }),
    rotate: async () => {
      key = await make();
      return key.kid;
    },
    token: async (claims, header) => {
      const now = Math.floor(Date.now() / 1000);
      const all = { iss: issuerUrl, aud: 'dropstream', sub: 'someone', iat: now, exp: now + 60, ...claims };
      return await new SignJWT(all).setProtectedHeader({ alg: algorithm, kid: key.kid, ...header }).sign(key.privateKey);
    },
  };
}
