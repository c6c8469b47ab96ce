/** `dropstream context …`: names for servers, with their addresses, certificates and tokens. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { AlreadyExists, invalid, NotFound, Violations } from '#errors/errors.js';
import { checkId } from '#errors/resource-names.js';
import { parseAddress } from '#rpc/address.js';
import { callerOptions } from '#rpc/service-options.js';
import { defaultPorts, serviceNames } from '../addresses.js';
import type { Context } from '../context.js';
import { changeContexts, contextsPath, readContexts, type Server } from '../contexts.js';
import { tableLines } from '../output/table.js';
import { printJson } from './shared-options.js';

interface CreateOptions extends Server {
  readonly use?: boolean;
}

export function addContextCommand(program: Command, context: Context): void {
  const command = program.command('context').description('create, list, choose and delete contexts, which are servers by name');

  const create = command.command('create <name>').description('store the addresses of a server, and the files that its callers need');
  for (const service of serviceNames) create.option(`--${service} <host:port>`, `address of the ${service} service`);
  create
    .option('--tls-ca <file>', 'PEM file with the authority of the certificates of the services; turns TLS on')
    .option('--tls-cert <file>', 'PEM file with a certificate to show to the services')
    .option('--tls-key <file>', 'PEM file with the private key for --tls-cert')
    .option('--token-file <file>', 'file with the token to show to the services; it is not copied')
    .option('--use', 'make it the current context')
    .action((name: string, options: CreateOptions) => createContext(name, options, context));

  command
    .command('list')
    .description('list the contexts; the current one has a star')
    .option('--json', 'print the result as JSON')
    .action((options: { readonly json?: boolean }) => list(options, context));

  command
    .command('use [name]')
    .description('make a context the current one, which commands use without --context; without a name, none is')
    .action((name: string | undefined) => {
      changeContexts(contextsPath(context), ({ current: _, ...file }) => {
        if (name === undefined) return file;
        known(file.contexts, name);
        return { ...file, current: name };
      });
      context.terminal.err(name === undefined ? 'no context is current' : `the current context is ${name}`);
    });

  command
    .command('delete <name>')
    .description('forget a context; the files that it names stay')
    .action((name: string) => {
      changeContexts(contextsPath(context), ({ current, ...file }) => {
        known(file.contexts, name);
        const { [name]: _, ...contexts } = file.contexts;
        return { ...file, contexts, ...(current === undefined || current === name ? {} : { current }) };
      });
      context.terminal.err(`deleted the context ${name}`);
    });
}

function known(contexts: Readonly<Record<string, Server>>, name: string): void {
  if (!Object.hasOwn(contexts, name)) throw new NotFound('context', name, { why: 'see `dropstream context list`' });
}

function createContext(name: string, { use, ...given }: CreateOptions, context: Context): void {
  const violations = new Violations();
  checkId(violations, name, 'name');
  violations.throwIfAny();
  const path = (file: string | undefined): string | undefined => file && resolve(context.cwd, file);
  const server: Server = {
    ...given,
    tlsCa: path(given.tlsCa),
    tlsCert: path(given.tlsCert),
    tlsKey: path(given.tlsKey),
    tokenFile: path(given.tokenFile),
  };
  const addresses = serviceNames.flatMap((service) => {
    const address = server[service];
    if (address) parseAddress(address, `--${service}`, defaultPorts[service]);
    return address ? [address] : [];
  });
  if (addresses.length === 0) throw invalid('the context', name, `with an address: ${serviceNames.map((s) => `--${s}`).join(', ')}`);
  if ((server.tlsCert === undefined) !== (server.tlsKey === undefined))
    throw invalid(server.tlsCert ? '--tls-key' : '--tls-cert', '', 'given, because --tls-cert and --tls-key belong together');
  if (server.tlsCert && !server.tlsCa) throw invalid('--tls-ca', '', 'given, because --tls-cert is only shown through TLS');
  // Tells now what every command would tell later.
  callerOptions(server, addresses);
  changeContexts(contextsPath(context), (file) => {
    if (Object.hasOwn(file.contexts, name)) throw new AlreadyExists('context', name, 'delete it first');
    return { ...file, contexts: { ...file.contexts, [name]: server }, ...(use && { current: name }) };
  });
  context.terminal.err(`created the context ${name}${use ? ', which is the current one' : `: choose it with --context ${name}`}`);
}

function list({ json }: { readonly json?: boolean }, context: Context): void {
  const { current, contexts } = readContexts(contextsPath(context));
  const rows = Object.entries(contexts).map(([name, server]) => ({ name, current: name === current, ...server }));
  if (json) {
    printJson(context, rows);
    return;
  }
  if (rows.length === 0) {
    context.terminal.err('no contexts: make one with `dropstream context create`');
    return;
  }
  const lines = tableLines(rows, [
    { title: 'CONTEXT', value: (row) => (row.current ? `${row.name} *` : row.name) },
    ...serviceNames.map((service) => ({ title: service.toUpperCase(), value: (row: Server) => row[service], align: 'left' as const })),
    { title: 'TLS', value: ({ tlsCa, tlsCert }) => (tlsCert ? 'with a certificate' : tlsCa ? 'yes' : 'no') },
    { title: 'TOKEN FILE', value: ({ tokenFile }) => tokenFile },
  ]);
  for (const line of lines) context.terminal.out(line);
}
