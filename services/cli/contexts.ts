/**
 * Contexts: servers by name, each with the addresses of its services, its certificates and the file of its token. They are kept in contexts.json in
 * the user's configuration folder. What a context shows to prove who calls goes to its own addresses only.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { changePrivateFile } from '#auth/private-file.js';
import { parseOwnJson } from '#bounds/own-json.js';
import { readSmallFile } from '#bounds/small-file.js';
import { invalid, NotFound } from '#errors/errors.js';
import { idPattern } from '#errors/resource-names.js';
import { type Context, homeFolder } from './context.js';

const text = z.string().min(1).max(4096);
const server = z.strictObject({
  data: text.optional(),
  scheduler: text.optional(),
  trainer: text.optional(),
  evaluator: text.optional(),
  /** Absolute paths. */
  tlsCa: text.optional(),
  tlsCert: text.optional(),
  tlsKey: text.optional(),
  tokenFile: text.optional(),
});
const schema = z.strictObject({
  version: z.literal(1),
  current: z.string().optional(),
  contexts: z.record(z.string().regex(idPattern), server),
});

export type Server = z.output<typeof server>;
export type ContextsFile = z.output<typeof schema>;

const MAX_BYTES = 1 << 20;
const file = 'the file of contexts';

/** DROPSTREAM_CONTEXTS, or contexts.json in the user's configuration folder; of a user without a home folder, in that of `up`. */
export function contextsPath(context: Pick<Context, 'env' | 'cwd'>): string {
  const { DROPSTREAM_CONTEXTS: named, XDG_CONFIG_HOME: config } = context.env;
  if (named) return resolve(context.cwd, named);
  // The XDG specification has relative paths ignored.
  if (config && isAbsolute(config)) return join(config, 'dropstream', 'contexts.json');
  try {
    return join(homedir(), '.config', 'dropstream', 'contexts.json');
  } catch {
    return join(homeFolder(context), 'contexts.json');
  }
}

/** @throws InvalidArgument for a file that cannot be used */
export function readContexts(path: string): ContextsFile {
  if (!existsSync(path)) return { version: 1, contexts: {} };
  let content: unknown;
  try {
    content = parseOwnJson(readSmallFile(path, MAX_BYTES).toString('utf8'));
  } catch (cause) {
    throw invalid(file, path, `a readable file with JSON (${(cause as Error).message})`);
  }
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(file, path, `valid at ${issue?.path.join('.')}: ${issue?.message}`);
}

/** @throws what `change` throws, and as changePrivateFile does */
export function changeContexts(path: string, change: (contexts: ContextsFile) => ContextsFile): void {
  changePrivateFile(path, file, () => `${JSON.stringify(change(readContexts(path)), undefined, 2)}\n`);
}

/**
 * The server of the name, or that of the current context; undefined without one.
 * @throws NotFound for a name that is given and not known
 */
export function serverOf(name: string | undefined, context: Pick<Context, 'env' | 'cwd'>): Server | undefined {
  const { current, contexts } = readContexts(contextsPath(context));
  const wanted = name ?? current;
  if (wanted === undefined) return undefined;
  if (!Object.hasOwn(contexts, wanted)) throw new NotFound('context', wanted, { why: 'see `dropstream context list`' });
  return contexts[wanted];
}

/** Whether all of these addresses, joined by commas, belong to the server. */
export function isOf(server: Server, address: string): boolean {
  const { data, scheduler, trainer, evaluator } = server;
  const own = new Set([data, scheduler, trainer, evaluator].flatMap((list) => partsOf(list ?? '')));
  return partsOf(address).every((part) => own.has(part));
}

const partsOf = (list: string): string[] => list.split(',').map((part) => part.trim());
