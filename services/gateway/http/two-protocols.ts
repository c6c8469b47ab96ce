/**
 * One port for HTTP/1.1 and HTTP/2: with TLS, a connection says which one it wants (ALPN); in plain text, HTTP/2 begins with a preface that no request
 * of HTTP/1.1 begins with. Every connection has deadlines, and ends with the server.
 */
import { createServer as createHttp1, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createHttp2, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net';
import { createServer as createTls, type TLSSocket, type Server as TlsServer } from 'node:tls';
import type { ServerTls } from '#rpc/tls/read-tls.js';
import { contextOf } from '#rpc/tls/server-credentials.js';

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

export interface TwoProtocolsOptions {
  readonly tls: ServerTls | undefined;
  readonly onRequest: (request: HttpRequest, response: HttpResponse) => void;
  /** Age in ms at which HTTP/2 connections are asked to end; 0: never. */
  readonly maxConnectionAgeMs: number;
}

const HEADERS_MS = 10_000;
const REQUEST_MS = 60_000;
/** Longer than load balancers keep theirs, so that they close first. */
const IDLE_MS = 75_000;
const KEEPALIVE_MS = 30_000;
const MAX_HEADER_BYTES = 32 << 10;
const MAX_CONNECTIONS = 4096;
/** Of one connection of HTTP/2. */
const MAX_REQUESTS = 250;
const preface = Buffer.from('PRI * HTTP/2.0\r\n');

export class TwoProtocols {
  readonly #server: Server;
  readonly #http1 = createHttp1({
    headersTimeout: HEADERS_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: IDLE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
  readonly #http2 = createHttp2({
    maxHeaderListPairs: 128,
    settings: { maxConcurrentStreams: MAX_REQUESTS, maxHeaderListSize: MAX_HEADER_BYTES },
  });
  readonly #sockets = new Set<Socket>();
  /** Those without a request so far: browsers open some ahead. HTTP/1.1 takes them for busy ones until their deadline. */
  readonly #silent = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  #ending = false;

  constructor(private readonly options: TwoProtocolsOptions) {
    const { tls, onRequest } = options;
    this.#http1.on('request', ((request, response) => {
      this.#silent.delete(request.socket);
      // A connection that is kept would outlive the server.
      if (this.#ending) response.setHeader('connection', 'close');
      else response.once('close', () => this.#ending && setImmediate(() => this.#http1.closeIdleConnections()));
      onRequest(request, response);
    }) satisfies RequestListener);
    this.#http2.on('request', onRequest);
    this.#http2.on('session', (session) => this.#keep(session));
    // Looks for connections whose requests take too long; it listens to nothing itself.
    this.#http1.emit('listening');
    if (tls) {
      const demand = { requestCert: tls.clientAuthority !== undefined, rejectUnauthorized: tls.clientAuthority !== undefined };
      this.#server = createTls(
        { ...contextOf(tls), ...demand, handshakeTimeout: HEADERS_MS, ALPNProtocols: ['h2', 'http/1.1'] },
        (socket: TLSSocket) => this.#hand(socket, socket.alpnProtocol === 'h2'),
      );
      this.#server.on('connection', (socket) => this.#own(socket));
      this.#server.on('tlsClientError', (_, socket) => socket.destroy());
    } else {
      this.#server = createTcp((socket) => {
        this.#own(socket);
        this.#sniff(socket);
      });
    }
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** @returns the port */
  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Certificates for new connections. */
  use(tls: ServerTls): void {
    (this.#server as TlsServer).setSecureContext(contextOf(tls));
  }

  /** Takes no new connections, and ends each one that exists when its requests have been answered. @returns a promise of the end of the last one */
  end(): Promise<void> {
    this.#ending = true;
    const ended = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#http1.closeIdleConnections();
    for (const socket of this.#silent) socket.destroy();
    for (const session of this.#sessions) session.close();
    return ended.then(() => void this.#http1.close());
  }

  /** Ends every connection now. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.once('close', () => this.#sockets.delete(socket));
    // A connection that breaks ends; its requests notice it.
    socket.on('error', () => socket.destroy());
  }

  #sniff(socket: Socket): void {
    this.#awaitRequest(socket);
    const timer = setTimeout(() => socket.destroy(), HEADERS_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.once('readable', () => {
      clearTimeout(timer);
      const first: Buffer | null = socket.read();
      if (first === null) return void socket.destroy();
      socket.unshift(first);
      // POST begins with a P, too.
      const seen = Math.min(first.length, preface.length);
      this.#hand(socket, seen > 1 && first.subarray(0, seen).equals(preface.subarray(0, seen)));
    });
  }

  #hand(socket: Socket, isHttp2: boolean): void {
    if (isHttp2) {
      this.#silent.delete(socket);
      this.#http2.emit('connection', socket);
    } else {
      if (!this.#silent.has(socket)) this.#awaitRequest(socket);
      this.#http1.emit('connection', socket);
    }
  }

  #awaitRequest(socket: Socket): void {
    this.#silent.add(socket);
    socket.once('close', () => this.#silent.delete(socket));
  }

  #keep(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on('error', () => session.destroy());
    let streams = 0;
    session.on('stream', (stream) => {
      streams++;
      stream.once('close', () => streams--);
    });
    // Streams that last may say nothing for long; keepalive of TCP finds peers that are gone.
    session.setTimeout(IDLE_MS, () => {
      if (streams === 0) session.close();
    });
    const { maxConnectionAgeMs } = this.options;
    const timer = maxConnectionAgeMs > 0 ? setTimeout(() => session.close(), maxConnectionAgeMs) : undefined;
    session.once('close', () => {
      clearTimeout(timer);
      this.#sessions.delete(session);
    });
    if (this.#ending) session.close();
  }
}
