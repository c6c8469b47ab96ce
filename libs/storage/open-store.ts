import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { redacted } from '#errors/redact.js';
import { DirectoryStore } from './directory-store.js';
import { checkKey, type ObjectStore, StorageError } from './object-store.js';
import { isReachable } from './reachable-addresses.js';
import { type S3KeySource, s3Keys } from './s3-credentials.js';
import type { S3Limits } from './s3-transport.js';

/** A store URI or its credentials cannot be used. `why` never contains a secret. */
export class InvalidStoreUri extends StorageError {
  readonly uri: string;
  readonly why: string;
  constructor(uri: string, why: string) {
    super(`store ${JSON.stringify(uri)}: ${why}`);
    this.uri = redacted(uri);
    this.why = redacted(why);
  }
}

export type StoreEnvironment = Record<string, string | undefined>;

export interface OpenStoreOptions {
  /** Default process.env; see s3-credentials.ts. */
  env?: StoreEnvironment;
  limits?: Partial<S3Limits>;
  /** Whether to check at once that the S3 store answers and enforces exclusive creates. Default true. */
  probe?: boolean;
  /** Whether nothing is created, tested or tidied up, and a folder must exist. Default false. */
  lookOnly?: boolean;
  /** S3 only: objects were put there by others, so that any name is a key; for data sets. Default false. */
  foreignKeys?: boolean;
  signal?: AbortSignal;
}

/**
 * Opens the store that a URI names. The caller closes it.
 * - `file:///absolute/folder`, `/absolute/folder` or `relative/folder`: the folder is created if it is missing
 * - `s3://bucket/prefix?endpoint=http://host:9000&region=us-east-1`: the endpoint defaults to AWS's for the region, and the region to
 *   AWS_REGION or us-east-1
 * @throws InvalidStoreUri, StoreUnavailable
 */
export async function openStore(
  uri: string,
  { env = process.env, limits, probe = true, lookOnly = false, foreignKeys = false, signal }: OpenStoreOptions = {},
): Promise<ObjectStore> {
  if (uri.trim() === '') throw new InvalidStoreUri(uri, 'must be a folder, file:///folder or s3://bucket/prefix?endpoint=…');
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(uri)) return DirectoryStore.open(resolve(uri), { lookOnly });
  const url = parse(uri);
  if (url.protocol === 'file:') {
    if (url.host !== '' || url.search !== '') throw new InvalidStoreUri(uri, 'file:///absolute/folder has no host and no query');
    return DirectoryStore.open(fileURLToPath(url), { lookOnly });
  }
  const location = s3Location(uri, url, env, foreignKeys);
  // Its client takes longer to load than everything else that a service needs, and a folder does not need it.
  const { S3Store } = await import('./s3-store.js');
  const store = new S3Store({ ...location, foreignKeys }, limits);
  if (!probe || lookOnly) return store;
  try {
    await store.probe(signal);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function parse(uri: string): URL {
  let url: URL;
  try {
    url = new URL(uri);
  } catch {
    throw new InvalidStoreUri(uri, 'is not a URL');
  }
  if (url.username !== '' || url.password !== '') {
    throw new InvalidStoreUri(uri, 'credentials belong in DROPSTREAM_S3_ACCESS_KEY and DROPSTREAM_S3_SECRET_KEY');
  }
  if (url.protocol !== 'file:' && url.protocol !== 's3:') throw new InvalidStoreUri(uri, `scheme ${url.protocol} is not file: or s3:`);
  return url;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function s3Location(uri: string, url: URL, env: StoreEnvironment, foreignKeys: boolean) {
  const refuse = (why: string): never => {
    throw new InvalidStoreUri(uri, why);
  };
  for (const name of url.searchParams.keys()) {
    if (name !== 'endpoint' && name !== 'region') refuse(`unknown parameter ${JSON.stringify(name)}; endpoint and region are allowed`);
  }
  const bucket = url.hostname;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) || url.port !== '') {
    refuse(`bucket ${JSON.stringify(url.host)}: 3 to 63 of a-z 0-9 . - are allowed`);
  }
  const prefix = decoded(url.pathname.replace(/^\/+|\/+$/g, '')) ?? refuse('its path is not UTF-8 text, percent-encoded');
  if (prefix !== '' && !foreignKeys) checkKey(prefix);
  if (prefix.length > 100) refuse('a prefix has at most 100 characters');
  const region = url.searchParams.get('region') ?? env.AWS_REGION ?? 'us-east-1';
  if (!/^[a-z0-9-]{1,40}$/.test(region)) refuse(`region ${JSON.stringify(region)} is not a region name`);
  const endpointText = url.searchParams.get('endpoint') ?? env.DROPSTREAM_S3_ENDPOINT ?? `https://s3.${region}.amazonaws.com`;
  const endpoint = URL.canParse(endpointText) ? new URL(endpointText) : refuse(`endpoint ${JSON.stringify(endpointText)} is not a URL`);
  const isAnonymous = endpoint.username === '' && endpoint.password === '';
  if (!/^https?:$/.test(endpoint.protocol) || !isAnonymous || !/^\/?$/.test(endpoint.pathname) || endpoint.search !== '') {
    refuse('endpoint must be http(s)://host[:port] without a user, a path or a query');
  }
  // Names are checked when they are looked up, for each connection.
  const host = endpoint.hostname.replace(/^\[(.*)\]$/, '$1');
  if (isIP(host) !== 0 && !isReachable(host)) refuse(`endpoint ${endpoint.origin} is an address that no store may have`);
  return { endpoint, region, bucket, prefix, keys: keysOf(env, refuse) };
}

function keysOf(env: Readonly<Record<string, string | undefined>>, refuse: (reason: string) => never): S3KeySource {
  try {
    return s3Keys(env);
  } catch (error) {
    return refuse((error as Error).message);
  }
}
