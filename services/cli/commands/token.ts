/** `dropstream token …`: makes, lists and revokes the tokens in a service's file of identities (`--identities`). */
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import {
  changeIdentityFile,
  grantRule,
  type IdentityFile,
  isGrantedProject,
  type Principal,
  principalPattern,
  principalRule,
  readIdentityFile,
} from '#auth/identity-file.js';
import { everyProject, type Role, roles } from '#auth/policy.js';
import { createToken } from '#auth/tokens.js';
import { invalid, NotFound } from '#errors/errors.js';
import { type Context, homeFolder } from '../context.js';
import { tableLines } from '../output/table.js';
import { printJson } from './shared-options.js';

interface FileOption {
  readonly identities?: string;
  readonly json?: boolean;
}

interface CreateOptions extends FileOption {
  readonly role?: Role;
  readonly project: string;
  readonly days: string;
}

const DAY_MS = 86_400_000;
const LONGEST_DAYS = 3650;

export function addTokenCommand(program: Command, context: Context): void {
  const token = program.command('token').description('create, list and revoke the tokens that services admit');
  const shared = (command: Command) =>
    command
      .option('--identities <file>', 'file that the services read (default: DROPSTREAM_IDENTITIES, or .dropstream/identities.json)')
      .option('--json', 'print the result as JSON');

  shared(token.command('create <principal>').description('add a token for a principal and print it; it cannot be shown again'))
    .addOption(
      new Option('--role <role>', 'role of the principal in the project; may be left out for one that has roles').choices([...roles]),
    )
    .option('--project <id>', `id of the project in which the role counts, or ${everyProject} for all projects`, 'default')
    .option('--days <n>', `days until the token expires, 1 to ${LONGEST_DAYS}; 0: it does not expire`, '90')
    .action((principal: string, options: CreateOptions) => create(principal, options, context));

  shared(token.command('list').description('list the tokens and the roles of their principals')).action((options: FileOption) =>
    list(options, context),
  );

  shared(token.command('revoke <id>').description('remove a token; services refuse it within seconds, and its streams end')).action(
    (id: string, options: FileOption) => revoke(id, options, context),
  );
}

function pathOf({ identities }: FileOption, context: Context): string {
  const given = identities ?? context.env.DROPSTREAM_IDENTITIES;
  return given ? resolve(context.cwd, given) : join(homeFolder(context), 'identities.json');
}

function create(name: string, options: CreateOptions, context: Context): void {
  if (!principalPattern.test(name)) throw invalid('principal', name, principalRule);
  if (!isGrantedProject(options.project)) throw invalid('--project', options.project, grantRule);
  const days = Number(options.days);
  if (!Number.isInteger(days) || days < 0 || days > LONGEST_DAYS)
    throw invalid('--days', options.days, `a number from 0 to ${LONGEST_DAYS}`);
  const path = pathOf(options, context);
  const { id, text, sha256 } = createToken();
  const now = Date.now();
  const expires = days === 0 ? undefined : new Date(now + days * DAY_MS).toISOString();
  let granted: Principal['roles'] = {};
  changeIdentityFile(path, (file) => {
    const before = file.principals[name] ?? { roles: {}, uris: [], tokens: [] };
    granted = { ...before.roles, ...(options.role && { [options.project]: options.role }) };
    if (Object.keys(granted).length === 0) throw invalid('--role', '', `one of ${roles.join(', ')}, because ${name} has no role yet`);
    const entry = { id, sha256, created: new Date(now).toISOString(), ...(expires && { expires }) };
    return { ...file, principals: { ...file.principals, [name]: { ...before, roles: granted, tokens: [...before.tokens, entry] } } };
  });
  if (options.json) {
    printJson(context, { principal: name, roles: granted, id, expires: expires ?? null, token: text });
    return;
  }
  context.terminal.out(text);
  context.terminal.err(`token ${id} of ${name} (${rolesText(granted)}), which ${expires ? `expires at ${expires}` : 'does not expire'}`);
  context.terminal.err(`${path} holds its hash only: keep the token, for example in DROPSTREAM_TOKEN or a file for --token-file`);
}

const rolesText = (granted: Principal['roles']): string =>
  Object.entries(granted)
    .map(([project, role]) => `${role} in ${project === everyProject ? 'all projects' : project}`)
    .join(', ');

const tokensOf = ({ principals }: IdentityFile) =>
  Object.entries(principals).flatMap(([principal, { roles: granted, tokens }]) =>
    tokens.map(({ id, created, expires }) => ({ id, principal, roles: granted, created, expires: expires ?? null })),
  );

function list(options: FileOption, context: Context): void {
  const path = pathOf(options, context);
  const tokens = tokensOf(readIdentityFile(path));
  if (options.json) {
    printJson(context, tokens);
    return;
  }
  if (tokens.length === 0) {
    context.terminal.err(`no tokens in ${path}`);
    return;
  }
  const lines = tableLines(tokens, [
    { title: 'TOKEN', value: ({ id }) => id, align: 'left' },
    { title: 'PRINCIPAL', value: ({ principal }) => principal },
    { title: 'ROLES', value: ({ roles: granted }) => rolesText(granted) },
    { title: 'CREATED', value: ({ created }) => created },
    {
      title: 'EXPIRES',
      value: ({ expires }) => (expires === null ? 'never' : Date.parse(expires) <= Date.now() ? `${expires} (expired)` : expires),
    },
  ]);
  for (const line of lines) context.terminal.out(line);
}

function revoke(id: string, options: FileOption, context: Context): void {
  const path = pathOf(options, context);
  // A missing file must not be made by this.
  readIdentityFile(path);
  let owner: string | undefined;
  changeIdentityFile(path, (file) => {
    const principals = Object.entries(file.principals).map(([name, principal]) => {
      const tokens = principal.tokens.filter((token) => token.id !== id);
      if (tokens.length < principal.tokens.length) owner = name;
      return [name, { ...principal, tokens }] as const;
    });
    if (owner === undefined) throw new NotFound('token', id, { why: 'see `dropstream token list`' });
    return { ...file, principals: Object.fromEntries(principals) };
  });
  if (options.json) printJson(context, { revoked: id, principal: owner });
  else context.terminal.err(`revoked the token ${id} of ${owner}`);
}
