/** An HTTP proxy before the store that can refuse requests as an overloaded or a full store does. Everything else passes through unchanged. */

import { once } from 'node:events';
import { Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

type Refusal = 'busy' | 'full';

const ANSWERS: Readonly<Record<Refusal, { readonly status: number; readonly code: string }>> = {
  busy: { status: 503, code: 'SlowDown' },
  full: { status: 507, code: 'XMinioStorageFull' },
};

export class StoreGateway {
  #refusal: Refusal | undefined;
  readonly #agent = new Agent({ keepAlive: true });

  private constructor(private readonly server: Server) {}

  /** @param upstream host:port. Whoever starts it stops it. */
  static async start(upstream: string): Promise<StoreGateway> {
    const [host, port] = upstream.split(':');
    const server = createServer();
    const gateway = new StoreGateway(server);
    server.on('request', (incoming, outgoing) => {
      const refusal = gateway.#refusal;
      if (refusal === 'busy' || (refusal === 'full' && incoming.method === 'PUT')) {
        const { status, code } = ANSWERS[refusal];
        incoming.resume();
        incoming.on('end', () => outgoing.writeHead(status, { 'content-type': 'application/xml' }).end(errorBody(code)));
        return;
      }
      const { method, url: path, rawHeaders } = incoming;
      const forwarded = request({ host, port, method, path, headers: rawHeaders, agent: gateway.#agent, setHost: false });
      forwarded.on('response', (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(outgoing);
        answer.on('error', () => outgoing.destroy());
      });
      forwarded.on('error', () => outgoing.destroy());
      incoming.on('error', () => forwarded.destroy());
      outgoing.on('close', () => forwarded.destroy());
      incoming.pipe(forwarded);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return gateway;
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  refuse(refusal: Refusal | undefined): void {
    this.#refusal = refusal;
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const errorBody = (code: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>refused by the test of chaos</Message></Error>`;
