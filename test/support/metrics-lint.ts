/** What `promtool check metrics` says about a service's /metrics, in both formats. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const accepts = { text: 'text/plain', openMetrics: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' } as const;

/** Names of the project's metrics, of gRPC's convention, and those that prom-client gives every process. */
const ours = /^(dropstream|grpc_server|grpc_client|process|nodejs)_/;

/**
 * promtool reads the text format only. An OpenMetrics page is put into it: it has the same lines, besides exemplars, its end, and the names of counters'
 * descriptions. That it is OpenMetrics is for a real Prometheus to see, which refuses the whole page otherwise.
 */
export async function complaintsAboutMetrics(promtool: string, admin: string): Promise<string> {
  const pages = await Promise.all(Object.values(accepts).map((accept) => pageOf(admin, accept)));
  const texts = [pages[0]!.text, asText(pages[1]!)];
  const said = await Promise.all(texts.map((text) => lint(promtool, text)));
  const described = texts.map((text) => text.match(/^# (?:TYPE|HELP) .*$/gm)!.sort());
  for (const [, name] of texts[0]!.matchAll(/^# TYPE (\S+)/gm)) if (!ours.test(name!)) said.push(`${name} has a name of somebody else`);
  if (described[0]!.join('\n') !== described[1]!.join('\n')) said.push('the two formats describe different metrics');
  return said.filter(Boolean).join('\n');
}

interface Page {
  readonly type: string;
  readonly text: string;
}

async function pageOf(admin: string, accept: string): Promise<Page> {
  const response = await fetch(`${admin}/metrics`, { headers: { accept }, signal: AbortSignal.timeout(10_000) });
  return { type: response.headers.get('content-type') ?? '', text: await response.text() };
}

function asText({ type, text }: Page): string {
  if (!type.startsWith('application/openmetrics-text; version=1.0.0') || !text.endsWith('\n# EOF\n'))
    throw new Error(`${type} is not OpenMetrics, or its end is missing`);
  const counters = new Set([...text.matchAll(/^# TYPE (\S+) counter$/gm)].map(([, name]) => name!));
  return text
    .replace(/# EOF\n$/, '')
    .replaceAll(/^(# (?:TYPE|HELP) )(\S+)/gm, (line, head: string, name: string) => (counters.has(name) ? `${head}${name}_total` : line))
    .replaceAll(/ # \{[^}\n]*\} \S+ \S+$/gm, '');
}

/** @returns '' for nothing */
async function lint(promtool: string, text: string): Promise<string> {
  const child = spawn(promtool, ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stdin.end(text);
  const [code] = (await once(child, 'close')) as [number];
  return code === 0 ? said.trim() : said || `promtool ended with ${code}`;
}
