/**
 * One server stream as an async iterable. It starts with the first `next`, reads no further ahead than grpc-js buffers, and is cancelled when the
 * consumer leaves the loop or the signal aborts. An idempotent stream is retried as long as no message has arrived.
 */
import { type ClientReadableStream, type ServiceError, status } from '@grpc/grpc-js';
import { Cancelled } from '#errors/errors.js';
import { grpcMethod } from '#telemetry/grpc-metrics.js';
import { clientSpan, endClientSpan, exemplarOf } from './call-spans.js';
import { asIs, attemptMetadata, serialize, waitOrCancelled } from './call-unary.js';
import type { CallOptions, Connection } from './connection.js';
import type { AnyMethod } from './handlers.js';
import { isIdempotent, retryDelayMs } from './retry.js';
import { fromServiceError } from './status.js';

export async function* callStream(
  connection: Connection,
  method: AnyMethod,
  request: object,
  options: CallOptions,
): AsyncGenerator<unknown, void, void> {
  const deadline = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeoutMs;
  const repeatable = options.idempotent ?? isIdempotent(method.path, request);
  const bytes = serialize(method, request);
  for (let attempt = 1; ; attempt++) {
    let begun = false;
    try {
      for await (const message of once(connection, method, bytes, options, deadline)) {
        begun = true;
        yield message;
      }
      return;
    } catch (error) {
      const delay = repeatable && !begun ? retryDelayMs(error, attempt, connection.retry, deadline - Date.now()) : undefined;
      if (delay === undefined) throw error;
      await waitOrCancelled(delay, method, options.signal);
    }
  }
}

async function* once(
  connection: Connection,
  method: AnyMethod,
  request: Buffer,
  options: CallOptions,
  deadline: number,
): AsyncGenerator<unknown, void, void> {
  const { signal } = options;
  const cancelled = (): Cancelled => new Cancelled(method.path.slice(1), { cause: signal?.reason });
  if (signal?.aborted) throw cancelled();
  const span = clientSpan(method.path, connection.address);
  const metadata = attemptMetadata(connection, options, span.context);
  const observer = connection.metrics?.begin(grpcMethod(method.path, false, true));
  observer?.sent();
  const call: ClientReadableStream<unknown> = connection.client.makeServerStreamRequest(
    method.path,
    asIs,
    method.responseDeserialize,
    request,
    metadata,
    deadline === Number.POSITIVE_INFINITY ? {} : { deadline },
  );
  let hasEnded = false;
  const ended = (code: string): void => {
    if (!hasEnded) endClientSpan(span, code, left);
    hasEnded = true;
  };
  let left = false;
  call.on('status', (end) => {
    observer?.handled(status[end.code], exemplarOf(span));
    ended(status[end.code]);
  });
  const abort = (): void => {
    left = true;
    call.cancel();
  };
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for await (const message of call) {
      observer?.received();
      yield message;
    }
  } catch (error) {
    if (signal?.aborted) throw cancelled();
    throw isServiceError(error) ? fromServiceError(error, method.path.slice(1), connection.where()) : error;
  } finally {
    signal?.removeEventListener('abort', abort);
    // Without a status by now, the consumer has left. The process may end before the status of that comes.
    left = true;
    ended(status[status.CANCELLED]);
    // After a normal end, this does nothing. Otherwise, it emits an error that nobody receives any more.
    call.on('error', () => {});
    call.cancel();
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && typeof (error as Partial<ServiceError>).code === 'number';
}
