/**
 * A store whose operations are spans, as far as they belong to something that is recorded: an RPC, a step of training, a checkpoint. What looks at the
 * store by itself, such as the polling of a queue, has no span. Spans name the kind of an object and not its key.
 */
import { failWith, isTracing, type Span, startSpan } from '#telemetry/spans.js';
import { activeSpan, isSampled, runWithSpan, type SpanContext } from '#telemetry/tracing.js';
import { kindOfKey } from './key-kinds.js';
import {
  type Bytes,
  type GetOptions,
  type ListOptions,
  type ListPage,
  ObjectExists,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  PreconditionFailed,
  type PutOptions,
  type SignalOption,
  sizeOf,
} from './object-store.js';

/** Number of operations of one span that are recorded. A batch may read thousands of images. */
const mostOfParent = 32;

/** The store itself if this process exports no spans. Its owner is that of the store. */
export function tracedStore(store: ObjectStore): ObjectStore {
  return isTracing() ? new TracedStore(store) : store;
}

class TracedStore implements ObjectStore {
  /** Where the store is, for spans: nothing of it is secret. */
  readonly #place: Readonly<Record<string, string | number>>;
  /** Number of operations by what they belong to. */
  readonly #begun = new WeakMap<SpanContext, number>();

  constructor(private readonly inner: ObjectStore) {
    this.#place = placeOf(inner.uri);
  }

  get uri(): string {
    return this.inner.uri;
  }

  get maxListed(): number | undefined {
    return this.inner.maxListed;
  }

  put(key: string, bytes: Bytes, options?: PutOptions): Promise<{ etag: string }> {
    return this.#span('put', key, { 'dropstream.store.bytes': sizeOf(bytes) }, () => this.inner.put(key, bytes, options));
  }

  replace(key: string, bytes: Bytes, options: { ifMatch: string } & SignalOption): Promise<{ etag: string }> {
    return this.#span('replace', key, { 'dropstream.store.bytes': sizeOf(bytes) }, () => this.inner.replace(key, bytes, options));
  }

  get(key: string, options?: GetOptions): Promise<{ bytes: Buffer; etag: string }> {
    return this.#span('get', key, {}, async (span) => {
      const found = await this.inner.get(key, options);
      span?.set({ 'dropstream.store.bytes': found.bytes.byteLength });
      return found;
    });
  }

  getRange(key: string, offset: number, length: number, options?: SignalOption): Promise<Buffer> {
    return this.#span('get', key, { 'dropstream.store.bytes': length }, () => this.inner.getRange(key, offset, length, options));
  }

  head(key: string, options?: SignalOption): Promise<ObjectInfo> {
    return this.#span('head', key, {}, () => this.inner.head(key, options));
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    return this.#span('list', prefix, {}, async (span) => {
      const page = await this.inner.list(prefix, options);
      span?.set({ 'dropstream.store.objects': page.objects.length });
      return page;
    });
  }

  delete(key: string, options?: SignalOption): Promise<void> {
    return this.#span('delete', key, {}, () => this.inner.delete(key, options));
  }

  presignGet(key: string, expirySeconds: number): Promise<string | undefined> {
    return this.inner.presignGet(key, expirySeconds);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  /** Whether the operation gets a span: it belongs to something that is recorded, which has not had too many. */
  #isRecorded(): boolean {
    const parent = activeSpan();
    if (!isSampled(parent)) return false;
    const begun = (this.#begun.get(parent) ?? 0) + 1;
    this.#begun.set(parent, begun);
    return begun <= mostOfParent;
  }

  async #span<T>(
    operation: string,
    key: string,
    facts: Readonly<Record<string, number>>,
    work: (span: Span | undefined) => Promise<T>,
  ): Promise<T> {
    if (!this.#isRecorded()) return await work(undefined);
    const what = { 'dropstream.store.operation': operation, 'dropstream.store.key_kind': kindOfKey(key) };
    const span = startSpan(`store ${operation}`, { kind: 'client', attributes: { ...this.#place, ...what, ...facts } });
    try {
      return await runWithSpan(span.context, () => work(span));
    } catch (error) {
      const answer = answerOf(error);
      // Whoever asked has to expect these: they are no failure of the store.
      if (answer === undefined) failWith(span, error);
      else span.set({ 'dropstream.store.answer': answer });
      throw error;
    } finally {
      span.end();
    }
  }
}

function answerOf(error: unknown): string | undefined {
  if (error instanceof ObjectNotFound) return 'not found';
  if (error instanceof ObjectExists) return 'exists already';
  return error instanceof PreconditionFailed ? 'changed meanwhile' : undefined;
}

function placeOf(uri: string): Record<string, string | number> {
  if (!uri.startsWith('s3:')) return { 'dropstream.store.system': 'directory' };
  const url = new URL(uri);
  const bucket = { 'dropstream.store.system': 's3', 'aws.s3.bucket': url.host };
  const given = url.searchParams.get('endpoint');
  if (given === null) return bucket;
  const { hostname, port } = new URL(given);
  return { ...bucket, 'server.address': hostname, ...(port === '' ? {} : { 'server.port': Number(port) }) };
}
