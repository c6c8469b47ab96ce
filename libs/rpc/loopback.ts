/** Plain text only where nobody else can listen: loopback, unless TLS or an explicit flag (design §3.10). */
import { invalid } from '#errors/errors.js';

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Throws InvalidArgument for a plain-text listener that other machines reach, unless `allowRemote`. */
export function checkListenHost(host: string, options: { readonly tls: boolean; readonly allowRemote: boolean }): void {
  if (isLoopback(host) || options.tls || options.allowRemote) return;
  throw invalid('host', host, 'a loopback address (127.0.0.1, ::1, localhost), or given together with TLS or --allow-remote');
}

/** `host:port`, with brackets around IPv6. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
