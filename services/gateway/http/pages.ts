/** Answers that are no calls: the console with its security headers, the OpenAPI document, and refusals in plain words. */
import type { ConsoleFile, ConsoleFiles } from './console-files.js';
import type { HttpRequest, HttpResponse } from './two-protocols.js';

/** Everything comes from this server, and nothing is evaluated from text. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Of every answer. */
export const securityHeaders: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
};
const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), usb=(), serial=()',
  'x-frame-options': 'DENY',
};

const notBuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Dropstream: the console was not built</title>
<h1>The console was not built</h1>
<p>This gateway answers calls, but the files of the console are missing. In a checkout of Dropstream, run <code>npm run build</code> and load this page again.</p>
<p>Calls work without the console: <a href="/openapi.json">openapi.json</a> lists them.</p>
</html>
`;

/** What the console asks the gateway for, besides calls. */
export interface ConsoleSettings {
  /** Address of a Grafana that has the dashboards of deploy/grafana; '': none. */
  readonly grafana: string;
}

export class Pages {
  constructor(
    private readonly files: ConsoleFiles,
    private readonly openApi: string,
    private readonly settings: ConsoleSettings,
  ) {}

  /** Answers a GET or HEAD of anything that is no call. */
  async answer(path: string, request: HttpRequest, response: HttpResponse): Promise<void> {
    const json = path === '/openapi.json' ? this.openApi : path === '/console.json' ? JSON.stringify(this.settings) : undefined;
    if (json !== undefined)
      return send(request, response, 200, { 'content-type': 'application/json', 'cache-control': 'no-cache' }, Buffer.from(json));
    const exact = this.files.at(path);
    // The console has its own paths, which are all the same page.
    const file = exact ?? (isOfConsole(path) ? this.files.at('/') : undefined);
    if (file) return await sendFile(file, path, request, response);
    if (isOfConsole(path))
      return send(request, response, 503, { ...pageHeaders, 'content-type': 'text/html; charset=utf-8' }, Buffer.from(notBuilt));
    say(
      request,
      response,
      404,
      `there is nothing at ${path.slice(0, 200)}: calls are POSTs to /dropstream.v1.SERVICE/METHOD, and /openapi.json lists them`,
    );
  }
}

/** Files have an extension, and methods have a dot in the name of their service. */
const isOfConsole = (path: string): boolean => !path.includes('.');

async function sendFile(file: ConsoleFile, path: string, request: HttpRequest, response: HttpResponse): Promise<void> {
  const lasting = file.isLasting && path !== '/';
  const headers = {
    ...(file.type.startsWith('text/html') ? pageHeaders : {}),
    'content-type': file.type,
    'cache-control': lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag: file.etag,
    vary: 'Accept-Encoding',
  };
  if (request.headers['if-none-match'] === file.etag) return send(request, response, 304, headers, undefined);
  const { encoding, bytes } = await file.in(String(request.headers['accept-encoding'] ?? ''));
  send(request, response, 200, encoding === 'identity' ? headers : { ...headers, 'content-encoding': encoding }, bytes);
}

/** One line of text. */
export function say(
  request: HttpRequest,
  response: HttpResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  send(request, response, status, { ...headers, 'content-type': 'text/plain; charset=utf-8' }, Buffer.from(`${text}\n`));
}

function send(
  request: HttpRequest,
  response: HttpResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer | undefined,
): void {
  if (response.headersSent || response.destroyed) return;
  const length: Record<string, string> = body === undefined ? {} : { 'content-length': String(body.length) };
  response.writeHead(status, { ...headers, ...length });
  if (body === undefined || request.method === 'HEAD') response.end();
  else response.end(body);
}
