/** One call with the bytes of a request, and how it ended. */
import { type CallOptions, type Client, type Metadata, type ServiceError, status } from '@grpc/grpc-js';

export interface Method {
  /** e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly name: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  /** A stream that goes on until the caller leaves. */
  readonly watches: boolean;
}

export interface Ending {
  readonly code: status;
  readonly details: string;
  /** Everything that was said besides the answers: the text of the status, and its details. */
  readonly said: string;
  /** The first answer. */
  readonly answer: Buffer | undefined;
  readonly ms: number;
}

/** A watch that has said nothing for this long waits for a change. */
const WATCHED_MS = 60;

const same = (bytes: Buffer): Buffer => bytes;

export async function rawCall(client: Client, method: Method, bytes: Buffer, metadata: Metadata, timeoutMs: number): Promise<Ending> {
  const began = performance.now();
  const options: CallOptions = { deadline: Date.now() + timeoutMs };
  const path = `/${method.name}`;
  return await new Promise((resolve) => {
    let answer: Buffer | undefined;
    let leaving: NodeJS.Timeout | undefined;
    const end = (error: ServiceError | null): void => {
      clearTimeout(leaving);
      const { code = status.OK, details = '' } = error ?? {};
      const trailers = error?.metadata === undefined ? '' : JSON.stringify(error.metadata.getMap(), (_, value) => textOf(value));
      resolve({ code, details, said: `${details}\n${trailers}`, answer, ms: performance.now() - began });
    };
    if (!method.responseStream) {
      client.makeUnaryRequest(path, same, same, bytes, metadata, options, (error, response) => {
        answer = response;
        end(error);
      });
      return;
    }
    const sending = method.requestStream ? client.makeBidiStreamRequest<Buffer, Buffer>(path, same, same, metadata, options) : undefined;
    const call = sending ?? client.makeServerStreamRequest<Buffer, Buffer>(path, same, same, bytes, metadata, options);
    const leave = (): void => {
      end(null);
      call.cancel();
    };
    call.on('error', end);
    call.on('end', () => end(null));
    call.on('data', (message: Buffer) => {
      answer ??= message;
      if (method.watches || method.requestStream) leave();
    });
    if (method.watches) leaving = setTimeout(leave, WATCHED_MS);
    sending?.write(bytes);
    sending?.end();
  });
}

/** Buffers in metadata as the text that is in them. */
function textOf(value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: number[] };
  return type === 'Buffer' && data ? Buffer.from(data).toString('utf8') : value;
}
