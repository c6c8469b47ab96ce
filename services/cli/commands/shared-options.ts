/** Options that several commands share, and the functions that read them. */

import { type Command, Option } from 'commander';
import { formatName } from '#errors/resource-names.js';
import type { UnreadableResource } from '#protocol/dropstream/v1/resource_types.js';
import { type ClientClass, connect, type TypedClient } from '#rpc/client.js';
import { addressOf, type ServiceName } from '../addresses.js';
import { callerOf } from '../caller.js';
import type { Context } from '../context.js';
import { anyNumber } from '../output/json.js';

export interface SharedOptions {
  readonly project: string;
  readonly json?: boolean;
  readonly trainer?: string;
  readonly data?: string;
  readonly scheduler?: string;
  readonly evaluator?: string;
  readonly timeout: string;
  readonly tokenFile?: string;
}

/** Adds --project, --json, --timeout and the address of each service that the command calls. */
export function withSharedOptions(command: Command, services: readonly ServiceName[]): Command {
  command.addOption(projectOption()).option('--json', 'print the result as JSON');
  for (const service of services)
    command.option(
      `--${service} <host:port>`,
      `address of the ${service} service (default: DROPSTREAM_${service.toUpperCase()}, or the service that \`dropstream up\` started)`,
    );
  command.option(
    '--token-file <file>',
    'file with the token to show to the services (default: DROPSTREAM_TOKEN, which is a token, or DROPSTREAM_TOKEN_FILE)',
  );
  return command.option('--timeout <seconds>', 'deadline of each call in seconds', '30');
}

const timeoutMs = (options: Pick<SharedOptions, 'timeout'>): number => Math.max(0.1, Number(options.timeout) || 30) * 1000;

/** Calls `use` with a client of the service and closes it afterwards. */
export async function withClient<D extends object, R>(
  type: ClientClass<D>,
  service: ServiceName,
  options: SharedOptions,
  context: Context,
  use: (client: TypedClient<D>, call: { timeoutMs: number; signal: AbortSignal }) => Promise<R>,
): Promise<R> {
  const address = addressOf(service, options[service], context);
  const client = connect(type, address, callerOf(context, address, options.tokenFile));
  try {
    return await use(client, { timeoutMs: timeoutMs(options), signal: context.signal });
  } finally {
    client.close();
  }
}

export const projectOption = (): Option =>
  new Option('--project <id>', 'id of the project').default(process.env.DROPSTREAM_PROJECT ?? 'default');

/** @throws InvalidArgument for a text that is no id */
export function projectIdOf({ project }: Pick<SharedOptions, 'project'>): string {
  formatName('project', { project });
  return project;
}

export const projectName = (options: SharedOptions): string => formatName('project', { project: options.project });

/** Completes a short name: `r` becomes `projects/p/runs/r`; a full name stays as it is. */
export function fullName(collection: string, name: string, options: SharedOptions): string {
  return name.includes('/') ? name : `${projectName(options)}/${collection}/${name}`;
}

/** The full name of `run/checkpoint`, of `run` (its latest checkpoint) or of a full name. The id can be `latest` or `best`. */
export function checkpointName(name: string, options: SharedOptions): string {
  const [run = '', checkpoint = 'latest', ...rest] = name.split('/');
  if (rest.length > 0) return name;
  return `${projectName(options)}/runs/${run}/checkpoints/${checkpoint}`;
}

/** The last part of a resource name. */
export const shortName = (name: string): string => name.slice(name.lastIndexOf('/') + 1);

/** Every item of a list, page by page, up to `limit`. */
export async function allPages<T>(
  limit: number,
  page: (pageToken: string, pageSize: number) => Promise<{ items: T[]; nextPageToken: string }>,
): Promise<T[]> {
  const all: T[] = [];
  for (let token = ''; ; ) {
    const { items, nextPageToken } = await page(token, Math.min(1000, limit - all.length));
    all.push(...items);
    if (nextPageToken === '' || all.length >= limit) return all;
    token = nextPageToken;
  }
}

/** Names what a list cannot show on the error output, so that it is seen with --json too. */
export function printUnreadable(unreadable: readonly UnreadableResource[], context: Context): void {
  for (const { name, reason } of unreadable) context.terminal.err(`warning: ${name} cannot be read: ${reason}`);
}

/** Prints a value as JSON. NaN and the infinities are text, as in protobuf's JSON, because JSON's numbers do not have them. */
export const printJson = (context: Context, value: unknown): void => context.terminal.out(JSON.stringify(value, anyNumber, 2));
