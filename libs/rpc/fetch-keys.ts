/** Fetches the keys of issuers: one GET over https, through the proxy if there is one. Whatever the URL answers, nothing else is asked. */
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { FetchKeys } from '#auth/signing-keys.js';
import { hostPort } from './loopback.js';
import { type Environment, type HttpProxy, proxyFor } from './proxy.js';

/** @param env says which proxy is used */
export const keysFetcher =
  (env: Environment = process.env): FetchKeys =>
  (request) =>
    fetchKeys(request, env);

async function fetchKeys({ url, authority, token, maxBytes, signal }: Parameters<FetchKeys>[0], env: Environment): Promise<Buffer> {
  const { hostname, port: given, pathname, search } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const port = Number(given || 443);
  const proxy = proxyFor({ host, port }, env);
  const socket = proxy && (await tunnel(proxy, hostPort(host, port), signal));
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const answer = new Promise<Buffer>((resolve, reject) => {
    const request = requestHttps({
      host,
      port,
      path: `${pathname}${search}`,
      headers: { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      ...(authority && { ca: authority }),
      ...servername,
      // An agent would make connections of its own.
      ...(socket
        ? { createConnection: () => connectTls({ socket, ...servername, ...(authority && { ca: authority }) }) }
        : { agent: false }),
      signal,
    });
    request.on('error', reject);
    request.on('response', (response) => {
      if (response.statusCode !== 200) {
        // A redirection is an answer like any other that holds no keys.
        response.destroy();
        return reject(new Error(`${hostname} answers with HTTP status ${response.statusCode}`));
      }
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        parts.push(part);
        bytes += part.length;
        if (bytes > maxBytes) response.destroy(new Error(`${hostname} answers with more than ${maxBytes} bytes`));
      });
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(parts)));
    });
    request.end();
  });
  return await answer.finally(() => socket?.destroy());
}

/** A connection to the target through the proxy. */
function tunnel({ address, credentials, shown }: HttpProxy, target: string, signal: AbortSignal): Promise<Socket> {
  const { hostname, port } = new URL(`http://${address}`);
  return new Promise((resolve, reject) => {
    const authorization = credentials && { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
    const headers = { host: target, ...authorization };
    const proxy = { host: hostname.replace(/^\[|\]$/g, ''), port: port || 80 };
    const request = requestHttp({ ...proxy, method: 'CONNECT', path: target, headers, agent: false, signal });
    request.on('error', (cause) => reject(new Error(`${shown}: ${cause.message}`, { cause })));
    request.on('connect', ({ statusCode }, socket: Socket) => {
      if (statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(new Error(`${shown} answers with HTTP status ${statusCode}`));
    });
    request.end();
  });
}
