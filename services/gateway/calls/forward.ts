/**
 * Passes a call on to its service: with what the caller shows, within its deadline, and until it leaves. The gateway itself shows nothing, so a caller
 * may do through it what the services allow that caller, and no more.
 */
import type { DescMethod, Message } from '@bufbuild/protobuf';
import { Code, ConnectError, createContextKey, type HandlerContext } from '@connectrpc/connect';
import type { Metadata } from '@grpc/grpc-js';
import type { Identify } from '#auth/identity.js';
import { checkMethod } from '#auth/policy.js';
import { FailedPrecondition, invalid, NotFound, ResourceExhausted, Unauthenticated } from '#errors/errors.js';
import { projectKey } from '#rpc/authorize.js';
import { versionKey } from '#rpc/observe-calls.js';
import type { Span } from '#telemetry/spans.js';
import { runWithSpan } from '#telemetry/tracing.js';
import { type Backend, backendOfService, healthService, methodName } from '../protos.js';
import type { BackendCallOptions, BackendClient, BackendClients } from './backend-clients.js';
import { connectErrorOf, type ErrorContext } from './connect-error.js';

/** What is known of a call while it runs, for its log line and its metrics. */
export interface CallRecord {
  readonly span: Span;
  /** Set when the call has reached forward.ts. */
  begun: boolean;
  /** Set if it fails. */
  code: Code | undefined;
  principal: string | undefined;
  /** Whether it was refused here, so that no service has heard of it. */
  refused: boolean;
}

export const callRecord = createContextKey<CallRecord | undefined>(undefined, { description: 'the record of a call' });

export interface ForwardOptions {
  readonly clients: BackendClients;
  readonly registry: ErrorContext['registry'];
  /** Longest time of a unary call. */
  readonly maxUnaryMs: number;
  readonly maxStreams: number;
  /** Default: the services decide alone. */
  readonly identify?: Identify | undefined;
  readonly unexpected: (error: unknown, method: string) => void;
  /** Ends the streams that last when the gateway leaves; its reason is a ConnectError. Other calls may finish. */
  readonly leaving: AbortSignal;
}

/** Headers that are passed on, besides those of the trace. */
const passedOn = ['authorization', projectKey];
/** What gRPC can carry. Of other values grpc-js makes errors that contain them, which a log must not have of a token. */
const sendable = /^[ -~]*$/;
const STREAM_RETRY_MS = 1000;
/** Streams that go on until their caller leaves. */
const lasting = /^(Watch|Stream)/;

export class Forwarder {
  #streams = 0;

  constructor(private readonly options: ForwardOptions) {}

  get streams(): number {
    return this.#streams;
  }

  async unary(method: DescMethod, message: Message, context: HandlerContext): Promise<Message> {
    const { maxUnaryMs } = this.options;
    const record = begin(context);
    try {
      const client = await this.#admit(method, message, context, record);
      const timeoutMs = Math.max(1, Math.min(context.timeoutMs() ?? maxUnaryMs, maxUnaryMs));
      const onHeaders = (headers: Metadata): void => {
        const [answered] = headers.get(versionKey);
        if (answered !== undefined) context.responseHeader.set(versionKey, String(answered));
      };
      return await inSpan(record, () => client.unary(method, message, { ...optionsOf(context), timeoutMs, onHeaders }));
    } catch (error) {
      throw this.#failed(error, method, message, context, record);
    }
  }

  async *stream(method: DescMethod, message: Message, context: HandlerContext): AsyncGenerator<Message, void, void> {
    const record = begin(context);
    let messages: AsyncIterator<Message> | undefined;
    let hasSlot = false;
    const ended = new AbortController();
    const unlink = (lasting.test(method.name) ? [context.signal, this.options.leaving] : [context.signal]).map((signal) =>
      link(signal, ended),
    );
    try {
      const client = await this.#admit(method, message, context, record);
      if (this.#streams >= this.options.maxStreams)
        throw new ResourceExhausted('the number of open streams', `${this.options.maxStreams} of this gateway`, {
          retryAfterMs: STREAM_RETRY_MS,
        });
      this.#streams++;
      hasSlot = true;
      const timeoutMs = context.timeoutMs();
      messages = client.stream(method, message, {
        ...optionsOf(context),
        signal: ended.signal,
        ...(timeoutMs === undefined ? {} : { timeoutMs: Math.max(1, timeoutMs) }),
      });
      for (;;) {
        // The call begins with the first one.
        const next = await inSpan(record, () => messages!.next());
        if (next.done) return;
        yield next.value;
      }
    } catch (error) {
      throw this.#failed(error, method, message, ended, record);
    } finally {
      for (const step of unlink) step();
      if (hasSlot) this.#streams--;
      await messages?.return?.();
    }
  }

  /** @throws what is said to callers that may not call it, and for services that are not there */
  async #admit(method: DescMethod, message: Message, context: HandlerContext, record: CallRecord | undefined): Promise<BackendClient> {
    const authorization = context.requestHeader.get('authorization');
    const { identify } = this.options;
    if (record) record.refused = true;
    if (authorization !== null && !sendable.test(authorization))
      throw new Unauthenticated('the authorization header has characters that are not of ASCII');
    if (identify) {
      const identity = await identify({ authorization: authorization === null ? [] : [authorization], certificate: () => undefined });
      if (record) record.principal = identity?.principal;
      checkMethod(identity, methodName(method));
    }
    if (record) record.refused = false;
    const backend = backendFor(method, message);
    const client = backend && this.options.clients.of(backend);
    if (client === undefined)
      throw backend === undefined
        ? new NotFound('service', serviceOf(method, message))
        : new ConnectError(`this gateway has no address of the ${backend} service`, Code.Unimplemented);
    if (authorization !== null && !client.tokenIsSafe)
      throw new FailedPrecondition('service', backend!, 'a token is not sent in plain text to other machines: give the gateway --tls-ca');
    return client;
  }

  #failed(
    error: unknown,
    method: DescMethod,
    message: Message,
    { signal }: Pick<HandlerContext, 'signal'>,
    record: CallRecord | undefined,
  ): ConnectError {
    // Why the call has ended is known better here than by its service: the deadline, the caller, or the end of the gateway.
    const reason: unknown = signal.aborted ? signal.reason : undefined;
    const made = connectErrorOf(reason instanceof ConnectError ? reason : error, {
      registry: this.options.registry,
      backend: backendFor(method, message),
      unexpected: (original) => this.options.unexpected(original, methodName(method)),
    });
    if (record) record.code = made.code;
    return made;
  }
}

/** @returns what unlinks them */
function link(signal: AbortSignal, to: AbortController): () => void {
  const abort = (): void => to.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return () => signal.removeEventListener('abort', abort);
}

function begin(context: HandlerContext): CallRecord | undefined {
  const record = context.values.get(callRecord);
  if (record) record.begun = true;
  return record;
}

const inSpan = <T>(record: CallRecord | undefined, work: () => T): T => (record ? runWithSpan(record.span.context, work) : work());

function optionsOf({ signal, requestHeader }: HandlerContext): BackendCallOptions & { readonly signal: AbortSignal } {
  const metadata: Record<string, string> = {};
  for (const key of passedOn) {
    const value = requestHeader.get(key);
    if (value === null) continue;
    if (!sendable.test(value)) throw invalid(key, value, 'of printable characters of ASCII');
    metadata[key] = value;
  }
  return { signal, metadata, idempotent: false };
}

/** A health check names the service that it asks about. */
const serviceOf = (method: DescMethod, message: Message): string =>
  method.parent.typeName === healthService ? String((message as { service?: unknown }).service ?? '') : method.parent.typeName;

const backendFor = (method: DescMethod, message: Message): Backend | undefined => backendOfService(serviceOf(method, message));
