/**
 * The one interceptor for every call, including health and reflection: refuses calls that are not admitted, ends calls whose credential or connection
 * does not count any more, counts every call, and writes one log line when it ends, and one of the audit if it has to.
 */
import { Metadata, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import { type Audit, type AuditedCall, credentialKind, isAudited } from '#auth/audit.js';
import { type GrpcMethod, type GrpcMetrics, grpcMethod } from '#telemetry/grpc-metrics.js';
import type { Logger } from '#telemetry/logger.js';
import type { Span } from '#telemetry/spans.js';
import { version } from '#telemetry/version.js';
import type { Admit, KnownCallers } from './admit-calls.js';
import { levelOfStatus, uneventful } from './call-level.js';
import { endServerSpan, exemplarOf } from './call-spans.js';
import { blameCaller } from './callers-fault.js';
import { type GrpcStatus, toStatus } from './status.js';
import type { ConnectionTrust } from './tls/connection-trust.js';

/** Header of answers with the version of the service that answered. */
export const versionKey = 'dropstream-version';

export interface CallFacts {
  readonly project: string | undefined;
  readonly resource: string | undefined;
  /** As the caller sent it. */
  readonly requestId: unknown;
  readonly traceId: string;
  /** The span of the call, which ends with it. */
  readonly span: Span;
}

/** Frequent calls of little interest, which are logged at `trace`. */
const quiet = /^(grpc\.health|grpc\.reflection)\./;
/** Reads, and what members of a group tell their leader, are frequent if they succeeded or were cancelled: a trainer makes dozens a second. */
const reading = /^(Get|List|Describe|Preview|Watch|AnswerOrder$|PutKey$)/;

export interface ObserveOptions {
  readonly metrics: GrpcMetrics;
  readonly logger: Logger;
  readonly facts: WeakMap<Metadata, CallFacts>;
  readonly callers: KnownCallers;
  /** Default: every call goes on. */
  readonly admit: Admit | undefined;
  /** Default: every connection counts. */
  readonly trust?: ConnectionTrust | undefined;
  /** Default: nothing is written down. */
  readonly audit?: Audit | undefined;
}

export function observeCalls({ metrics, logger, facts, callers, admit, trust, audit }: ObserveOptions): ServerInterceptor {
  return (definition, call) => {
    const method = grpcMethod(definition.path, definition.requestStream, definition.responseStream);
    const foreign = quiet.test(method.service);
    const observer = metrics.begin(method);
    const begun = performance.now();
    let metadata = new Metadata();
    let ended = false;
    /** True if the call was ended here: its handler may still send something. */
    let over = false;
    const withVersion = (headers: Metadata): Metadata => {
      // Health answers everybody; only callers that are admitted learn what runs here.
      if (admit === undefined || callers.has(metadata)) headers.set(versionKey, version);
      return headers;
    };
    const unlink: (() => void)[] = [];
    const end = (code: status): void => {
      if (ended) return;
      ended = true;
      for (const step of unlink) step();
      const name = status[code] ?? String(code);
      const known = facts.get(metadata);
      observer.handled(name, known && exemplarOf(known.span));
      const level = levelOf(method, name);
      const ms = Math.round((performance.now() - begun) * 1000) / 1000;
      const principal = callers.get(metadata)?.principal;
      const ids = {
        ...(known?.project === undefined ? {} : { project: known.project }),
        ...(principal === undefined ? {} : { principal }),
        ...(known ? { trace_id: known.traceId, span_id: known.span.context.spanId } : {}),
      };
      const rpc = definition.path.slice(1);
      logger[level]({ method: rpc, ...ids, code: name, ms }, 'call');
      if (known) endServerSpan(known.span, name);
      if (audit && isAudited(rpc, name)) audit.call(auditedCall({ rpc, code: name, principal, metadata, known, call }));
    };
    /** Ends the call when the signal aborts, or at once if it has. Its reason is an error of errors.ts. @returns whether the call goes on */
    const endWith = (signal: AbortSignal | undefined): boolean => {
      if (signal === undefined) return true;
      const refuse = (): void => {
        if (ended) return;
        over = true;
        const refused = toStatus(signal.reason, () => {});
        end(refused.code);
        call.sendStatus(refused);
      };
      if (signal.aborted) refuse();
      else {
        signal.addEventListener('abort', refuse, { once: true });
        unlink.push(() => signal.removeEventListener('abort', refuse));
      }
      return !signal.aborted;
    };
    blameCaller(call, (code) => {
      over = true;
      end(code);
    });
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (received, proceed) => {
            metadata = received;
            if (!endWith(trust?.signalOf(call))) return;
            const answer = (refused: GrpcStatus | undefined): void => {
              if (over) return;
              if (refused === undefined) {
                // bind-handler.ts does this for the project's own services.
                if (!foreign || endWith(callers.get(received)?.ended)) proceed(received);
                return;
              }
              end(refused.code);
              call.sendStatus(refused);
            };
            const refused = admit?.(definition.path.slice(1), received, call);
            // grpc-js keeps the request for as long as it waits.
            if (refused instanceof Promise) void refused.then(answer);
            else answer(refused);
          },
          onReceiveMessage: (message, proceed) => {
            observer.received();
            proceed(message);
          },
          // This also fires when a finished stream closes; `end` counts a call only once.
          onCancel: () => end(Date.now() >= Number(call.getDeadline()) ? status.DEADLINE_EXCEEDED : status.CANCELLED),
        }),
      // grpc-js calls this before the first message, too, if the handler has sent no headers.
      sendMetadata: (headers, proceed) => proceed(withVersion(headers)),
      sendMessage: (message, proceed) => {
        if (over) return;
        observer.sent();
        proceed(message);
      },
      sendStatus: (sent, proceed) => {
        if (over) return;
        end(sent.code ?? status.UNKNOWN);
        proceed(sent);
      },
    });
  };
}

/** Request ids of another form are refused, and stand nowhere. */
const requestIdForm = /^[A-Za-z0-9_-]{1,64}$/;

function auditedCall({ rpc, code, principal, metadata, known, call }: EndedCall): AuditedCall {
  const certified = (): boolean => call.getAuthContext().sslPeerCertificate !== undefined;
  const { resource, requestId, traceId } = known ?? {};
  return {
    principal,
    credential: credentialKind(metadata.get('authorization').map(String), certified),
    peer: call.getPeer(),
    rpc,
    resource,
    code,
    requestId: typeof requestId === 'string' && requestIdForm.test(requestId) ? requestId : undefined,
    traceId,
  };
}

interface EndedCall extends Pick<AuditedCall, 'rpc' | 'code' | 'principal'> {
  readonly metadata: Metadata;
  readonly known: CallFacts | undefined;
  readonly call: Pick<ServerInterceptingCall, 'getPeer' | 'getAuthContext'>;
}

function levelOf({ service, method }: GrpcMethod, code: string): 'trace' | 'debug' | 'info' | 'warn' {
  if (quiet.test(service)) return 'trace';
  if (reading.test(method) && uneventful.has(code)) return 'debug';
  return levelOfStatus(code);
}
