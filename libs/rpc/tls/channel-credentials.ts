/** Credentials of a channel for which each new connection asks anew. */
import { ChannelCredentials, credentials } from '@grpc/grpc-js';
import type { ClientTls } from './read-tls.js';

type Connect = ChannelCredentials['_createSecureConnector'];

export class AskingCredentials extends ChannelCredentials {
  #last: { readonly tls: ClientTls; readonly credentials: ChannelCredentials };

  constructor(private readonly ask: () => ClientTls) {
    super();
    this.#last = made(ask());
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(...[target, options, callCredentials]: Parameters<Connect>): ReturnType<Connect> {
    const first = this.#last.credentials._createSecureConnector(target, options, callCredentials);
    return {
      connect: (socket) => this.#now()._createSecureConnector(target, options, callCredentials).connect(socket),
      waitForReady: () => first.waitForReady(),
      getCallCredentials: () => first.getCallCredentials(),
      destroy: () => first.destroy(),
    };
  }

  #now(): ChannelCredentials {
    const tls = this.ask();
    if (!same(tls, this.#last.tls)) this.#last = made(tls);
    return this.#last.credentials;
  }
}

const same = (a: ClientTls, b: ClientTls): boolean => a.authority === b.authority && a.certificate === b.certificate && a.key === b.key;
const made = (tls: ClientTls) => ({ tls, credentials: credentials.createSsl(tls.authority, tls.key, tls.certificate) });
