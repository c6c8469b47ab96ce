/**
 * The public keys of an issuer (a JWK set), from a file that is read again when it changes, or from an https URL that is asked again when the keys are
 * old or lack the one that is looked for. Whatever goes wrong, the last good keys stay.
 */
import type { CryptoKey, JWK, JWTVerifyGetKey } from 'jose';
import { JWKSNoMatchingKey } from 'jose/errors';
import { createLocalJWKSet } from 'jose/jwks/local';
import { z } from 'zod';
import { fileVersion } from '#bounds/file-version.js';
import { orAborted } from '#bounds/or-aborted.js';
import { readSmallFile } from '#bounds/small-file.js';
import { invalid, Unavailable } from '#errors/errors.js';
import type { KeySource } from './issuer.js';

/** What is asked of whoever can reach the URL: its content, from nowhere else, at most `maxBytes` of it. */
export type FetchKeys = (request: {
  readonly url: string;
  /** PEM. */
  readonly authority: Buffer | undefined;
  readonly token: string | undefined;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}) => Promise<Buffer>;

export interface SigningKeysOptions {
  readonly source: KeySource;
  /** For messages. */
  readonly issuer: string;
  readonly fetch: FetchKeys;
  readonly onChange: () => void;
  readonly onFault: (error: unknown) => void;
}

const MAX_BYTES = 1 << 20;
const FETCH_MS = 5000;
/** A URL is asked at most once in this time, whatever callers send. */
const COOLDOWN_MS = 5000;
/** The pause after a fetch that failed. */
const RETRY_MS = 15_000;

const jwk = z
  .looseObject({ kty: z.string(), kid: z.string().optional() })
  .refine(({ d, k }) => d === undefined && k === undefined, 'a public key; this one is private or symmetric')
  // 256 bytes are 342 characters.
  .refine(({ kty, n }) => kty !== 'RSA' || (typeof n === 'string' && n.length >= 342), 'an RSA key of at least 2048 bits');
const jwkSet = z.looseObject({ keys: z.array(jwk).min(1).max(100) });

interface KeySet {
  readonly keys: readonly JWK[];
  readonly find: JWTVerifyGetKey;
  /** Of the keys with an id; undefined for all of them. */
  readonly texts: Map<unknown, string>;
}

export interface FoundKey {
  readonly key: CryptoKey;
  /** Changes when a key of the token's key id does; for a token without one, when any key does. */
  readonly text: string;
}

export class SigningKeys {
  #set: KeySet | undefined;
  #version = '';
  #fetching: Promise<void> | undefined;
  #fetchAtMs = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  readonly #closed = new AbortController();

  /** The owner closes it. @throws InvalidArgument for a file that cannot be used */
  constructor(private readonly options: SigningKeysOptions) {
    const { source } = options;
    if ('url' in source) void this.#fetch();
    else {
      this.#version = fileVersion(source.file);
      this.#set = parseKeys(readKeysFile(source.file), source.file);
    }
  }

  /** To be called often: sees changes of the file, and keys of a URL that are old. */
  look(): void {
    const { source, onFault } = this.options;
    if ('url' in source) {
      if (performance.now() >= this.#fetchAtMs) void this.#fetch();
      return;
    }
    const version = fileVersion(source.file);
    if (version === this.#version) return;
    this.#version = version;
    try {
      this.#use(parseKeys(readKeysFile(source.file), source.file));
    } catch (error) {
      onFault(error);
    }
  }

  /** Finds the key of a token. @throws Unavailable as long as there are no keys, JOSEError for a key that there is not */
  async find(...[header, token]: Parameters<JWTVerifyGetKey>): Promise<FoundKey> {
    try {
      return await this.#found(header, token);
    } catch (error) {
      const missing = error instanceof JWKSNoMatchingKey || error instanceof Unavailable;
      if (!missing || !(await this.#fetchUnlessJustDone())) throw error;
      return await this.#found(header, token);
    }
  }

  /** FoundKey.text of the keys with this id as they are now. */
  textOf(kid: unknown): string {
    return this.#set === undefined ? '' : textOf(this.#set, kid);
  }

  close(): void {
    this.#closed.abort(new Unavailable('the service, which is stopping,'));
  }

  async #found(...[header, token]: Parameters<JWTVerifyGetKey>): Promise<FoundKey> {
    const set = this.#set;
    if (set === undefined) throw new Unavailable('the check of tokens, because the keys of their issuer are not known yet,', 1000);
    const key = (await set.find(header, token)) as CryptoKey;
    return { key, text: textOf(set, header.kid) };
  }

  #use(set: KeySet): void {
    const changed = JSON.stringify(set.keys) !== JSON.stringify(this.#set?.keys);
    this.#set = set;
    if (changed) this.options.onChange();
  }

  /** @returns whether the keys may be others now */
  async #fetchUnlessJustDone(): Promise<boolean> {
    if (!('url' in this.options.source)) return false;
    if (this.#fetching === undefined && performance.now() - this.#askedAtMs < COOLDOWN_MS) return false;
    await this.#fetch();
    return true;
  }

  /** Joins the fetch in progress. Never fails: what goes wrong is reported. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    const { source, issuer, fetch, onFault } = this.options;
    if (!('url' in source) || this.#closed.signal.aborted) return;
    const { url, authority, tokenFile, refreshSeconds } = source;
    this.#askedAtMs = performance.now();
    let pauseMs = Math.min(RETRY_MS, refreshSeconds * 1000);
    try {
      const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(FETCH_MS)]);
      const files = {
        authority: authority === undefined ? undefined : readKeysFile(authority),
        token: tokenFile === undefined ? undefined : readKeysFile(tokenFile).toString('utf8').trim(),
      };
      const content = await orAborted(fetch({ url, ...files, maxBytes: MAX_BYTES, signal }), signal);
      this.#use(parseKeys(content, url));
      pauseMs = refreshSeconds * 1000;
    } catch (cause) {
      if (!this.#closed.signal.aborted) onFault(new Error(`the keys of ${issuer} could not be fetched: ${(cause as Error).message}`));
    }
    this.#fetchAtMs = performance.now() + pauseMs;
  }
}

/** @param kid of a token that was verified, so that there are no more texts than keys */
function textOf({ keys, texts }: KeySet, kid: unknown): string {
  const known = texts.get(kid);
  if (known !== undefined) return known;
  const text = JSON.stringify(keys.filter((key) => kid === undefined || key.kid === kid));
  texts.set(kid, text);
  return text;
}

function readKeysFile(path: string): Buffer {
  try {
    return readSmallFile(path, MAX_BYTES);
  } catch (cause) {
    throw invalid('a file of an issuer', path, `a readable file of at most 1 MiB (${(cause as Error).message})`);
  }
}

/** @throws InvalidArgument, which repeats nothing of the content */
function parseKeys(content: Buffer, where: string): KeySet {
  const wrong = (why: string) => invalid('the keys of an issuer', where, why);
  let json: unknown;
  try {
    json = JSON.parse(content.toString('utf8'));
  } catch {
    throw wrong('a JSON Web Key Set');
  }
  const parsed = jwkSet.safeParse(json);
  if (!parsed.success) {
    const [first] = parsed.error.issues;
    throw wrong(`a JSON Web Key Set, valid at ${first?.path.join('.') || 'its top'}: ${first?.message}`);
  }
  const { keys } = parsed.data as { keys: JWK[] };
  return { keys, find: createLocalJWKSet({ keys }), texts: new Map() };
}
