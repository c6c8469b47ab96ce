/** The paths of all RPCs, and the life of one call: Connect's protocol around forward.ts, its metrics, its span and its log line. */
import { constants } from 'node:http2';
import type { DescMethod, DescService, FileRegistry, Message } from '@bufbuild/protobuf';
import { createConnectRouter, createContextValues, type HandlerContext } from '@connectrpc/connect';
import type { UniversalHandler } from '@connectrpc/connect/protocol';
import { universalRequestFromNodeRequest } from '@connectrpc/connect-node';
import { type Audit, credentialKind } from '#auth/audit.js';
import { levelOfStatus, uneventful } from '#rpc/call-level.js';
import { endServerSpan, exemplarOf, serverSpan } from '#rpc/call-spans.js';
import { type GrpcMetrics, grpcMethod } from '#telemetry/grpc-metrics.js';
import type { Logger } from '#telemetry/logger.js';
import { receivedSpan } from '#telemetry/tracing.js';
import type { HttpRequest, HttpResponse } from '../http/two-protocols.js';
import { isStream, methodName } from '../protos.js';
import { compressions } from './compression.js';
import { codeName, codeNameOfHttp } from './connect-error.js';
import { type CallRecord, callRecord, type Forwarder } from './forward.js';
import { sendAnswer } from './send-answer.js';

export interface RpcRoutesOptions {
  readonly services: readonly DescService[];
  readonly registry: FileRegistry;
  readonly forwarder: Forwarder;
  readonly metrics: GrpcMetrics;
  readonly logger: Logger;
  readonly maxBodyBytes: number;
  /** Where refusals are written down; default: nowhere. What reaches a service, that service writes down. */
  readonly audit?: Audit | undefined;
  /** A longer Connect-Timeout-Ms is refused. */
  readonly maxTimeoutMs: number;
}

/** Reads that succeeded or were cancelled are frequent. */
const reading = /^(Get|List|Describe|Preview|Watch|Check|IsActive)/;

export class RpcRoutes {
  readonly #handlers = new Map<string, UniversalHandler>();

  constructor(private readonly options: RpcRoutesOptions) {
    const { forwarder, services, metrics } = options;
    const router = createConnectRouter({
      grpc: false,
      grpcWeb: false,
      readMaxBytes: options.maxBodyBytes,
      maxTimeoutMs: options.maxTimeoutMs,
      acceptCompression: compressions,
      jsonOptions: { registry: options.registry },
    });
    for (const method of services.flatMap((service) => service.methods)) {
      const forward = isStream(method)
        ? (message: Message, context: HandlerContext) => forwarder.stream(method, message, context)
        : (message: Message, context: HandlerContext) => forwarder.unary(method, message, context);
      router.rpc(method, forward as never);
      metrics.initialise(grpcMethod(`/${methodName(method)}`, false, isStream(method)));
    }
    for (const handler of router.handlers) this.#handlers.set(handler.requestPath, handler);
  }

  /** undefined if the path is not that of an RPC. */
  at(path: string): UniversalHandler | undefined {
    return this.#handlers.get(path);
  }

  /** Resolves when the call has ended; never rejects. */
  async answer(handler: UniversalHandler, request: HttpRequest, response: HttpResponse): Promise<void> {
    const { metrics, logger } = this.options;
    const { method } = handler;
    const name = methodName(method);
    const peer = `${request.socket.remoteAddress ?? 'unknown'}:${request.socket.remotePort ?? 0}`;
    const parent = receivedSpan((key) => request.headers[key]?.toString());
    const record: CallRecord = {
      span: serverSpan({ method: name, parent, peer, project: undefined }),
      begun: false,
      code: undefined,
      principal: undefined,
      refused: false,
    };
    const observer = metrics.begin(grpcMethod(`/${name}`, false, isStream(method)));
    const begun = performance.now();
    let left = false;
    const slow = setTimeout(() => endUnlessWhole(request), BODY_MS);
    try {
      const values = createContextValues().set(callRecord, record);
      await sendAnswer(await handler(universalRequestFromNodeRequest(request, response, undefined, values)), response);
    } catch (error) {
      left = true;
      if (!response.headersSent) refuse(response);
      else response.destroy();
      logger.debug({ method: name, error }, 'the caller left before the call had ended');
    }
    clearTimeout(slow);
    const code = codeOf(record, method, left, response.statusCode);
    observer.handled(code, exemplarOf(record.span));
    endServerSpan(record.span, code);
    const { traceId, spanId } = record.span.context;
    const ids = { trace_id: traceId, span_id: spanId, ...(record.principal === undefined ? {} : { principal: record.principal }) };
    if (record.refused)
      this.options.audit?.call({
        ...{ principal: record.principal, peer, rpc: name, code, traceId, resource: undefined, requestId: undefined },
        credential: credentialKind([request.headers.authorization ?? []].flat(), () => false),
      });
    const ms = Math.round((performance.now() - begun) * 1000) / 1000;
    logger[levelOf(method, code)]({ method: name, ...ids, code, ms }, 'call');
  }
}

/** How long a request may take to arrive. */
const BODY_MS = 60_000;

function endUnlessWhole(request: HttpRequest): void {
  if (request.complete) return;
  if ('stream' in request) request.stream.close(constants.NGHTTP2_CANCEL);
  else request.destroy();
}

/** A request that cannot be one of the protocol, e.g. with a path that is no URL. */
function refuse(response: HttpResponse): void {
  response.statusCode = 400;
  response.end();
}

function codeOf(record: CallRecord, method: DescMethod, left: boolean, httpStatus: number): string {
  if (record.code !== undefined) return codeName(record.code);
  if (left) return 'CANCELLED';
  if (record.begun) return 'OK';
  // A stream says what was wrong with its request in its last message, and not by its status.
  return httpStatus === 200 && isStream(method) ? 'INVALID_ARGUMENT' : codeNameOfHttp(httpStatus);
}

function levelOf(method: DescMethod, code: string): 'debug' | 'info' | 'warn' {
  if (reading.test(method.name) && uneventful.has(code)) return 'debug';
  return levelOfStatus(code);
}
