/**
 * The identities that a service admits, from a file that is read again when it changes. A file that cannot be read or is not valid changes nothing:
 * the last good content stays.
 */
import { setMaxListeners } from 'node:events';
import { fileVersion } from '#bounds/file-version.js';
import { type DomainError, Unauthenticated, Unavailable } from '#errors/errors.js';
import type { Identify, Identity, Shown } from './identity.js';
import { type IdentityFile, readIdentityFile } from './identity-file.js';
import { IssuedTokens } from './jwt.js';
import type { Role } from './policy.js';
import type { FetchKeys } from './signing-keys.js';
import { isJwt, isTokenOf, tokenIdOf } from './tokens.js';

export interface IdentitiesOptions {
  readonly path: string;
  /** Milliseconds between looks at the file and at what has expired; default 1000. */
  readonly lookMs?: number;
  readonly onChange?: (principals: number) => void;
  /** Called once for each state of the file that cannot be used. */
  readonly onFault?: (error: unknown) => void;
  /** Fetches the keys of issuers that have a URL; default: such issuers have none. */
  readonly fetchKeys?: FetchKeys;
}

interface Credential {
  readonly identity: Identity;
  readonly end: AbortController;
  /** Of a token. */
  readonly sha256: Buffer | undefined;
  /** Milliseconds of Date.now(). */
  readonly expiresAtMs: number;
  /** Credentials with equal texts are the same one. */
  readonly text: string;
}

const LOOK_MS = 1000;

export class Identities {
  /** By `token ID` or `uri URI`. */
  #credentials: ReadonlyMap<string, Credential> = new Map();
  #seen: string;
  readonly #issued: IssuedTokens;
  readonly #timer: NodeJS.Timeout;

  /** The owner closes it. @throws InvalidArgument for a file that cannot be used */
  constructor(private readonly options: IdentitiesOptions) {
    this.#seen = fileVersion(options.path);
    this.#issued = new IssuedTokens({ fetch: options.fetchKeys ?? noFetch, onFault: (error) => options.onFault?.(error) });
    this.#use(readIdentityFile(options.path));
    this.#timer = setInterval(() => this.#look(), options.lookMs ?? LOOK_MS).unref();
  }

  /** A token counts before a certificate. */
  readonly identify: Identify = ({ authorization, certificate }: Shown) => {
    if (authorization.length > 0) return this.#byToken(authorization);
    const uris = certificate()?.uris ?? [];
    if (uris.length === 0) return undefined;
    for (const uri of uris) {
      const found = this.#credentials.get(`uri ${uri}`);
      if (found) return found.identity;
    }
    throw new Unauthenticated(`no principal has the URI of its certificate (${uris.slice(0, 4).join(', ')})`);
  };

  #byToken(authorization: readonly string[]): Identity | Promise<Identity> {
    const [, text] = (authorization.length === 1 && /^Bearer +(\S{1,8192})$/i.exec(authorization[0]!)) || [];
    if (text === undefined) throw new Unauthenticated('its authorization is not one bearer token');
    if (isJwt(text)) return this.#issued.identify(text);
    const found = this.#credentials.get(`token ${tokenIdOf(text)}`);
    if (!isTokenOf(text, found?.sha256) || !found) throw new Unauthenticated('its token is not valid');
    if (found.expiresAtMs <= Date.now()) throw new Unauthenticated('its token has expired');
    return found.identity;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#issued.close();
  }

  #look(): void {
    const version = fileVersion(this.options.path);
    if (version !== this.#seen) {
      this.#seen = version;
      try {
        this.#use(readIdentityFile(this.options.path));
        this.options.onChange?.(new Set([...this.#credentials.values()].map(({ identity }) => identity.principal)).size);
      } catch (error) {
        this.options.onFault?.(error);
      }
    }
    this.#issued.look();
    const now = Date.now();
    for (const { end, expiresAtMs } of this.#credentials.values())
      if (expiresAtMs <= now) end.abort(new Unauthenticated('its token has expired'));
  }

  #use(file: IdentityFile): void {
    this.#issued.use(file.issuers ?? {}, this.options.path);
    const before = this.#credentials;
    const now = new Map<string, Credential>();
    for (const [principal, { roles, tokens, uris }] of Object.entries(file.principals)) {
      const grants = new Map(Object.entries(roles));
      for (const { id, sha256, expires } of tokens) keep(before, now, `token ${id}`, { principal, grants, sha256, expires });
      for (const uri of uris) keep(before, now, `uri ${uri}`, { principal, grants });
    }
    this.#credentials = now;
    for (const [key, { end }] of before) {
      if (now.get(key)?.end === end) continue;
      // With other roles, the caller may come back at once; without any, it may not.
      const why: DomainError = now.has(key) ? new Unavailable('the call, because the roles of its caller have changed,', 500) : revoked();
      end.abort(why);
    }
  }
}

const noFetch: FetchKeys = () => Promise.reject(new Error('this process fetches no keys'));
const revoked = (): Unauthenticated => new Unauthenticated('its credential was revoked');

interface Stated {
  readonly principal: string;
  readonly grants: ReadonlyMap<string, Role>;
  readonly sha256?: string;
  readonly expires?: string | undefined;
}

function keep(before: ReadonlyMap<string, Credential>, now: Map<string, Credential>, key: string, stated: Stated): void {
  const { principal, grants, sha256, expires } = stated;
  const text = JSON.stringify([principal, [...grants].sort(), sha256, expires]);
  const known = before.get(key);
  if (known?.text === text) {
    now.set(key, known);
    return;
  }
  const end = new AbortController();
  // Every call of the credential listens to it.
  setMaxListeners(0, end.signal);
  now.set(key, {
    identity: { principal, grants, ended: end.signal },
    end,
    sha256: sha256 === undefined ? undefined : Buffer.from(sha256, 'hex'),
    expiresAtMs: expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires),
    text,
  });
}
