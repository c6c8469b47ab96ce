/** One unary call with deadline, signal, trace, metrics and retries. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { Cancelled } from '#errors/errors.js';
import { grpcMethod } from '#telemetry/grpc-metrics.js';
import { carried, type SpanContext } from '#telemetry/tracing.js';
import { clientSpan, endClientSpan, exemplarOf } from './call-spans.js';
import { type CallOptions, type Connection, metadataOf } from './connection.js';
import type { AnyMethod } from './handlers.js';
import { checkMetadata, maxMetadataBytes } from './metadata-limit.js';
import { isIdempotent, retryDelayMs, wait } from './retry.js';
import { fromServiceError } from './status.js';

export async function callUnary(connection: Connection, method: AnyMethod, request: object, options: CallOptions): Promise<unknown> {
  const deadline = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeoutMs;
  const repeatable = options.idempotent ?? isIdempotent(method.path, request);
  const bytes = serialize(method, request);
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(connection, method, bytes, options, deadline);
    } catch (error) {
      const delay = repeatable ? retryDelayMs(error, attempt, connection.retry, deadline - Date.now()) : undefined;
      if (delay === undefined) throw error;
      await waitOrCancelled(delay, method, options.signal);
    }
  }
}

/** Same as wait(), but an abort is reported as Cancelled with the method's name. */
export async function waitOrCancelled(ms: number, method: AnyMethod, signal: AbortSignal | undefined): Promise<void> {
  await wait(ms, signal).catch((cause) => {
    throw new Cancelled(method.path.slice(1), { cause });
  });
}

/** Encodes the request once for all attempts. @throws TypeError for a value that its proto field cannot hold */
export function serialize(method: AnyMethod, request: object): Buffer {
  try {
    return method.requestSerialize(request);
  } catch (cause) {
    throw new TypeError(`the request of ${method.path} cannot be encoded: ${(cause as Error).message}`, { cause });
  }
}

export const asIs = (bytes: Buffer): Buffer => bytes;

/** Metadata of one attempt, which carries its span. @throws InvalidArgument if it is too large */
export function attemptMetadata(connection: Connection, options: CallOptions, span: SpanContext) {
  const shown = connection.token && { authorization: `Bearer ${connection.token()}` };
  const metadata = metadataOf(connection.metadata, shown, carried(span), options.metadata);
  checkMetadata(metadata, maxMetadataBytes);
  return metadata;
}

async function once(connection: Connection, method: AnyMethod, request: Buffer, options: CallOptions, deadline: number): Promise<unknown> {
  const { signal } = options;
  if (signal?.aborted) throw new Cancelled(method.path.slice(1), { cause: signal.reason });
  const span = clientSpan(method.path, connection.address);
  const metadata = attemptMetadata(connection, options, span.context);
  const observer = connection.metrics?.begin(grpcMethod(method.path, false, false));
  observer?.sent();
  return await new Promise((resolve, reject) => {
    const call = connection.client.makeUnaryRequest(
      method.path,
      asIs,
      method.responseDeserialize,
      request,
      metadata,
      deadline === Number.POSITIVE_INFINITY ? {} : { deadline },
      (error: ServiceError | null, response?: unknown) => {
        signal?.removeEventListener('abort', abort);
        const code = status[error?.code ?? status.OK];
        observer?.handled(code, exemplarOf(span));
        endClientSpan(span, code, signal?.aborted);
        if (error)
          return reject(
            signal?.aborted
              ? new Cancelled(method.path.slice(1), { cause: signal.reason })
              : fromServiceError(error, method.path.slice(1), connection.where()),
          );
        observer?.received();
        resolve(response);
      },
    );
    if (options.onHeaders) call.on('metadata', options.onHeaders);
    const abort = (): void => call.cancel();
    signal?.addEventListener('abort', abort, { once: true });
  });
}
