/**
 * Callers by the JWTs of issuers that the file of identities names. A token is verified once and then known by its hash until it expires, its issuer is
 * changed or removed, or its key is.
 */
import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { dirname, resolve } from 'node:path';
import type { JWTVerifyGetKey } from 'jose';
import * as errors from 'jose/errors';
import { decodeJwt } from 'jose/jwt/decode';
import { jwtVerify } from 'jose/jwt/verify';
import { RecentMap } from '#bounds/recent-map.js';
import { DomainError, Unauthenticated, Unavailable } from '#errors/errors.js';
import type { Identity } from './identity.js';
import { grantsOf, type Issuer, type KeySource, principalOf } from './issuer.js';
import type { Role } from './policy.js';
import { type FetchKeys, SigningKeys } from './signing-keys.js';

export interface IssuedTokensOptions {
  readonly fetch: FetchKeys;
  /** Called with what is wrong with keys; the last good ones stay. */
  readonly onFault: (error: unknown) => void;
}

/** Tokens that are known; a caller of one that was forgotten costs another verification. */
const MOST_KNOWN = 10_000;
/** Tokens that are being verified at the same time. */
const MOST_PENDING = 256;

interface KnownIssuer {
  readonly name: string;
  readonly issuer: Issuer;
  readonly keys: SigningKeys;
  /** Issuers with equal texts are the same one. */
  readonly text: string;
}

class VerifiedToken implements Identity {
  readonly #end = new AbortController();

  constructor(
    readonly principal: string,
    readonly grants: ReadonlyMap<string, Role>,
    readonly expiresAtMs: number,
    readonly issuer: KnownIssuer,
    readonly keyId: unknown,
    readonly keyText: string,
  ) {
    // Every call of the token listens to it.
    setMaxListeners(0, this.#end.signal);
  }

  get ended(): AbortSignal {
    return this.#end.signal;
  }

  end(why: DomainError): void {
    this.#end.abort(why);
  }
}

export class IssuedTokens {
  /** By the claim `iss`. */
  #issuers: ReadonlyMap<string, KnownIssuer> = new Map();
  readonly #known = new RecentMap<string, VerifiedToken>(MOST_KNOWN);
  /** Also those that are no longer known, as long as a call has them. */
  readonly #alive = new Set<WeakRef<VerifiedToken>>();
  readonly #pending = new Map<string, Promise<Identity>>();

  /** The owner closes it. */
  constructor(private readonly options: IssuedTokensOptions) {}

  /**
   * Takes other issuers, all or none. Tokens of those that are the same go on.
   * @param path of the file that names them, beside which their files are
   * @throws InvalidArgument for keys that cannot be used
   */
  use(issuers: Readonly<Record<string, Issuer>>, path: string): void {
    const before = [...this.#issuers.values()];
    const now = new Map<string, KnownIssuer>();
    try {
      for (const [name, issuer] of Object.entries(issuers)) {
        const text = JSON.stringify([name, issuer]);
        const known = before.find((one) => one.text === text);
        now.set(issuer.issuer, known ?? this.#open(name, issuer, text, dirname(path)));
      }
    } catch (error) {
      for (const one of now.values()) if (!before.includes(one)) one.keys.close();
      throw error;
    }
    this.#issuers = now;
    const kept = new Set(now.values());
    for (const one of before) if (!kept.has(one)) one.keys.close();
    this.#endEach(({ issuer }) => {
      if (kept.has(issuer)) return undefined;
      // With other roles, the caller may come back at once; without its issuer, it may not.
      return now.has(issuer.issuer.issuer)
        ? new Unavailable('the call, because the issuer of its token has changed,', 500)
        : new Unauthenticated('its credential was revoked');
    });
  }

  /** To be called often: ends what has expired, and sees changes of keys. */
  look(): void {
    for (const { keys } of this.#issuers.values()) keys.look();
    const now = Date.now();
    this.#endEach(({ expiresAtMs }) => (expiresAtMs <= now ? expired() : undefined));
  }

  /** Who shows the token; a promise if it is not known yet. @throws Unauthenticated, Unavailable */
  identify(text: string): Identity | Promise<Identity> {
    const hash = createHash('sha256').update(text).digest('base64');
    const known = this.#known.get(hash);
    if (known !== undefined && !known.ended.aborted) {
      if (known.expiresAtMs > Date.now()) return known;
      throw expired();
    }
    const pending = this.#pending.get(hash);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= MOST_PENDING) throw new Unavailable('the check of tokens, of which many wait,', 500);
    const verifying = this.#verify(text)
      .then((verified) => {
        // What has changed meanwhile has not ended this token.
        if (verified.keyText !== verified.issuer.keys.textOf(verified.keyId)) throw signature();
        if (this.#issuers.get(verified.issuer.issuer.issuer) !== verified.issuer) throw notValid();
        this.#known.set(hash, verified);
        this.#alive.add(new WeakRef(verified));
        return verified;
      })
      .finally(() => this.#pending.delete(hash));
    this.#pending.set(hash, verifying);
    return verifying;
  }

  close(): void {
    for (const { keys } of this.#issuers.values()) keys.close();
  }

  #open(name: string, issuer: Issuer, text: string, folder: string): KnownIssuer {
    const inFolder = (path: string): string => resolve(folder, path);
    const { keys } = issuer;
    const source: KeySource =
      'file' in keys
        ? { file: inFolder(keys.file) }
        : {
            ...keys,
            ...(keys.authority !== undefined && { authority: inFolder(keys.authority) }),
            ...(keys.tokenFile !== undefined && { tokenFile: inFolder(keys.tokenFile) }),
          };
    const onChange = (): void => this.#endEach((one) => (one.keyText === one.issuer.keys.textOf(one.keyId) ? undefined : revoked()));
    return { name, issuer, text, keys: new SigningKeys({ source, issuer: name, onChange, ...this.options }) };
  }

  async #verify(text: string): Promise<VerifiedToken> {
    try {
      const issuer = this.#issuers.get(String(decodeJwt(text).iss));
      if (issuer === undefined) throw notValid();
      const { audiences, algorithms, toleranceSeconds } = issuer.issuer;
      let keyText = '';
      const find: JWTVerifyGetKey = async (header, token) => {
        const found = await issuer.keys.find(header, token);
        keyText = found.text;
        return found.key;
      };
      const { payload, protectedHeader } = await jwtVerify(text, find, {
        issuer: issuer.issuer.issuer,
        audience: audiences,
        algorithms,
        clockTolerance: toleranceSeconds,
        requiredClaims: ['exp'],
      });
      return new VerifiedToken(
        principalOf(issuer.name, issuer.issuer, payload),
        grantsOf(issuer.issuer, payload),
        (Number(payload.exp) + toleranceSeconds) * 1000,
        issuer,
        protectedHeader.kid,
        keyText,
      );
    } catch (error) {
      throw refusal(error);
    }
  }

  /** Ends every token for which there is a reason. */
  #endEach(why: (token: VerifiedToken) => DomainError | undefined): void {
    for (const reference of this.#alive) {
      const token = reference.deref();
      const reason = token && why(token);
      if (reason) token.end(reason);
      if (token === undefined || token.ended.aborted) this.#alive.delete(reference);
    }
  }
}

const expired = (): Unauthenticated => new Unauthenticated('its token has expired');
const revoked = (): Unauthenticated => new Unauthenticated('its credential was revoked');
const signature = (): Unauthenticated => new Unauthenticated('the signature of its token is not valid');
const notValid = (): Unauthenticated => new Unauthenticated('its token is not valid');

/** Says no more than a caller needs to mend its token; the errors of jose hold its claims. */
function refusal(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  if (error instanceof errors.JWTExpired) return expired();
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'aud')
    return new Unauthenticated('its token is not for this audience');
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) return signature();
  return notValid();
}
