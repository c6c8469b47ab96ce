/** Options of the gateway, from flags, the environment or a file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { addressOrEmpty, integer, serviceOptions } from '#rpc/service-options.js';

/** The gateway shows no token of its own: what a caller may do is decided by what the caller shows. */
const { quotas: _quotas, tokenFile: _tokenFile, ...shared } = serviceOptions({ port: 7010 });

const hostName = z
  .string()
  .regex(/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+|\*)$/i, { error: 'a name or an address without a port, and IPv6 in brackets; or * for any name' });
const origin = z.string().regex(/^https?:\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i, {
  error: 'http:// or https://, a host, and a port if it is not the usual one; without a path',
});
/** Pages show it to everybody, so it holds no credentials. What stands before an at sign may be some, wherever a URL's grammar puts it. */
const webAddressOrEmpty = z.string().refine((text) => text === '' || (/^https?:\/\/[^\s?#@]+$/i.test(text) && URL.canParse(text)), {
  error: 'an address that begins with http:// or https://, without a user, a password, an @ or a query',
});

export const gatewayOptions = {
  ...shared,
  host: { ...shared.host, help: 'address on which the HTTP server listens' },
  port: { ...shared.port, help: 'port of the HTTP server (HTTP/1.1 and HTTP/2); 0: any free port' },
  identities: {
    ...shared.identities,
    help: 'JSON file with the callers that are admitted, the same one that the services have: calls of others are refused before they are passed on; empty: the services decide alone',
  },
  allowAnonymous: {
    ...shared.allowAnonymous,
    help: 'allow the gateway to pass on the calls of everybody on an address that other machines can reach, because the services refuse callers that they do not know',
  },
  tlsCa: { ...shared.tlsCa, help: 'PEM file with the certificate authority of the services, which turns TLS on for calls to them' },
  maxConnectionAgeMs: {
    ...shared.maxConnectionAgeMs,
    help: 'milliseconds after which HTTP/2 connections are asked to end, so that they find new replicas; 0: never',
  },
  data: { schema: addressOrEmpty(7011).default(''), help: 'host:port of the data service; empty: its RPCs are not served' },
  scheduler: { schema: addressOrEmpty(7012).default(''), help: 'host:port of the scheduler service; empty: its RPCs are not served' },
  trainer: { schema: addressOrEmpty(7013).default(''), help: 'host:port of the trainer service; empty: its RPCs are not served' },
  evaluator: { schema: addressOrEmpty(7014).default(''), help: 'host:port of the evaluator service; empty: its RPCs are not served' },
  allowedHost: {
    schema: z.array(hostName).default([]),
    list: true,
    help: 'name by which browsers may reach the gateway, besides localhost where it listens on a loopback address; requests for other hosts are refused; *: any name; needed on another address with neither --identities nor TLS',
  },
  allowedOrigin: {
    schema: z.array(origin).default([]),
    list: true,
    help: 'origin of pages of other servers that may call the gateway (CORS), for example https://dashboards.example.com; pages of the gateway itself always may',
  },
  grafana: {
    schema: webAddressOrEmpty.default(''),
    help: "http(s) address of a Grafana that has Dropstream's dashboards, to which the system page of the console links, for everybody who can open the console; empty: no links",
  },
  maxBodyBytes: {
    schema: integer(1 << 10, 64 << 20).default(4 << 20),
    help: 'largest request message, bytes, before and after decompression',
  },
  maxUnaryMs: {
    schema: integer(100, 3_600_000).default(600_000),
    help: 'milliseconds that a unary call may take at most, whatever its Connect-Timeout-Ms allows',
  },
  maxStreams: { schema: integer(1, 100_000).default(1000), help: 'number of streams that may be open at the same time' },
} as const;

export type GatewayConfig = ConfigOf<typeof gatewayOptions>;

export const gatewayConfig = defineConfig('gateway', gatewayOptions);
