/** Clients of the services behind the gateway, made from descriptors: messages are those of @bufbuild/protobuf, which knows how they look as JSON. */
import { type DescMethod, type DescService, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import type { Registry } from 'prom-client';
import { parseAddress } from '#rpc/address.js';
import { type CallOptions, type ConnectOptions, connect } from '#rpc/client.js';
import { isLoopback } from '#rpc/loopback.js';
import { type Backend, backends, isStream, methodName } from '../protos.js';

export interface BackendsOptions {
  /** host:port by service; an empty one is not served. */
  readonly addresses: Readonly<Record<Backend, string>>;
  readonly services: readonly DescService[];
  readonly tls: ConnectOptions['tls'];
  readonly registry: Registry;
}

/** How every call is made. Nothing is repeated here: whoever calls the gateway knows best whether it may be. */
export type BackendCallOptions = CallOptions & { readonly idempotent: false };

export interface BackendClient {
  /** Whether nobody on the way to it can read a token. */
  readonly tokenIsSafe: boolean;
  unary(method: DescMethod, message: Message, options: BackendCallOptions): Promise<Message>;
  stream(method: DescMethod, message: Message, options: BackendCallOptions): AsyncIterator<Message>;
}

/** grpc-js wants objects that can be spread. */
interface Held {
  readonly message: Message;
}
type Stub = (request: Held, options: CallOptions) => Promise<Held> & AsyncIterable<Held>;

export class BackendClients {
  readonly #clients = new Map<Backend, BackendClient>();
  readonly #open: { close(): void }[] = [];

  /** Connects lazily. The owner closes it. @throws InvalidArgument for an address that cannot be used */
  constructor(options: BackendsOptions) {
    const type = { service: definitionOf(options.services) };
    for (const backend of backends) {
      const address = options.addresses[backend];
      if (address === '') continue;
      const connected = connect(type, address, { registry: options.registry, ...(options.tls && { tls: options.tls }) });
      this.#open.push(connected);
      const stubs = connected as unknown as Readonly<Record<string, Stub>>;
      const { endpoints } = parseAddress(address);
      this.#clients.set(backend, {
        tokenIsSafe: options.tls !== undefined || endpoints.every(({ host }) => isLoopback(host)),
        unary: async (method, message, call) => (await stubs[methodName(method)]!({ message }, call)).message,
        stream: (method, message, call) => unwrapped(stubs[methodName(method)]!({ message }, call)),
      });
    }
  }

  /** undefined for one without an address. */
  of(backend: Backend): BackendClient | undefined {
    return this.#clients.get(backend);
  }

  close(): void {
    for (const connected of this.#open) connected.close();
  }
}

async function* unwrapped(messages: AsyncIterable<Held>): AsyncGenerator<Message, void, void> {
  for await (const { message } of messages) yield message;
}

/** In the form that the generated code has, with the full names of the methods as keys. */
function definitionOf(services: readonly DescService[]): object {
  const methods = services.flatMap((service) => service.methods);
  return Object.fromEntries(
    methods.map((method) => [
      methodName(method),
      {
        path: `/${methodName(method)}`,
        requestStream: false,
        responseStream: isStream(method),
        requestSerialize: ({ message }: Held) => Buffer.from(toBinary(method.input, message)),
        requestDeserialize: () => ({}),
        responseSerialize: ({ message }: Held) => Buffer.from(toBinary(method.output, message)),
        responseDeserialize: (bytes: Buffer) => ({ message: fromBinary(method.output, bytes) }),
      },
    ]),
  );
}
