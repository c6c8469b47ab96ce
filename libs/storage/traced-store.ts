/**
 * A store whose operations are spans, as far as they belong to something that is recorded: an RPC, a step of training, a checkpoint. What looks at the
 * store by itself, such as the polling of a queue, has no span. Spans name the kind of an object and not its key.
 */
import { failWith, isTracing, type SpanAttributes, startSpan } from '#telemetry/spans.js';
import { activeSpan, isSampled, runWithSpan, type SpanContext } from '#telemetry/tracing.js';
import { kindOfKey } from './key-kinds.js';
import { type ListPage, ObjectExists, ObjectNotFound, type ObjectStore, PreconditionFailed } from './object-store.js';
import { type StoreCall, WrappedStore } from './wrapped-store.js';

/** Number of operations of one span that are recorded. A batch may read thousands of images. */
const mostOfParent = 32;

/** The store itself if this process exports no spans. Its owner is that of the store. */
export function tracedStore(store: ObjectStore): ObjectStore {
  return isTracing() ? new TracedStore(store) : store;
}

class TracedStore extends WrappedStore {
  /** Where the store is, for spans: nothing of it is secret. */
  readonly #place: Readonly<Record<string, string | number>>;
  /** Number of operations by what they belong to. */
  readonly #begun = new WeakMap<SpanContext, number>();

  constructor(inner: ObjectStore) {
    super(inner);
    this.#place = placeOf(inner.uri);
  }

  /** Whether the operation gets a span: it belongs to something that is recorded, which has not had too many. */
  #isRecorded(): boolean {
    const parent = activeSpan();
    if (!isSampled(parent)) return false;
    const begun = (this.#begun.get(parent) ?? 0) + 1;
    this.#begun.set(parent, begun);
    return begun <= mostOfParent;
  }

  protected async around<T>({ operation, key, bytes }: StoreCall, work: () => Promise<T>): Promise<T> {
    if (!this.#isRecorded()) return await work();
    const name = operation === 'get_range' ? 'get' : operation;
    const what = { 'dropstream.store.operation': name, 'dropstream.store.key_kind': kindOfKey(key), 'dropstream.store.bytes': bytes };
    const span = startSpan(`store ${name}`, { kind: 'client', attributes: { ...this.#place, ...what } });
    try {
      const found = await runWithSpan(span.context, work);
      span.set(factsOf(found));
      return found;
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

/** What is only known of an answer: the bytes of an object, or the objects of a listing. */
function factsOf(found: unknown): SpanAttributes {
  const { bytes, objects } = (found ?? {}) as Partial<{ bytes: Buffer } & ListPage>;
  return { 'dropstream.store.bytes': bytes?.byteLength, 'dropstream.store.objects': objects?.length };
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
