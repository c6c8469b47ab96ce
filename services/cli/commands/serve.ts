/** `dropstream serve SERVICE …`: one service in this process; everything after its name is the service's own. */
import type { Command } from 'commander';
import { type ServiceName, serviceNames } from '../addresses.js';
import type { Context } from '../context.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { serviceEntry } from '../service-entry.js';

/** Only for help: main.ts hands `serve` command lines to serve() as they are. */
export function addServeCommand(program: Command, _context: Context): void {
  program
    .command('serve <service> [options...]')
    .description(
      `run one service (${serviceNames.join(', ')}); \`serve SERVICE --help\` lists its options, among them --role api|worker|all`,
    )
    .allowUnknownOption();
}

/** `[service, ...argv of the service]`. Resolves once the service has started; it ends with its process. */
export async function serve(argv: readonly string[]): Promise<void> {
  const [service, ...rest] = argv;
  if (!serviceNames.includes(service as ServiceName)) {
    throw new CommandError(`"${service ?? ''}" is not a service: one of ${serviceNames.join(', ')}`, exitCodes.usage);
  }
  endWithParent();
  const { main } = (await import(serviceEntry(service as ServiceName))) as { main: (argv: string[]) => Promise<unknown> };
  await main(rest);
}

/** Where `up` started this process: its death, whatever its kind, ends this one too. */
function endWithParent(): void {
  if (!process.connected) return;
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}
