/** `dropstream serve SERVICE …`: runs one service in this process; the service reads all arguments after its name. */
import type { Command } from 'commander';
import { type ServedName, servedNames } from '../addresses.js';
import type { Context } from '../context.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { serviceEntry } from '../service-entry.js';

/** Declares the command for --help; main.ts passes `serve` command lines to serve() unchanged. */
export function addServeCommand(program: Command, _context: Context): void {
  program
    .command('serve <service> [options...]')
    .description(`run one service (${servedNames.join(', ')}); \`dropstream serve SERVICE --help\` lists its options`)
    .allowUnknownOption();
}

/** Starts the service `argv[0]` with the remaining arguments. Resolves once it has started; it runs until the process ends. */
export async function serve(argv: readonly string[]): Promise<void> {
  const [service, ...rest] = argv;
  if (!servedNames.includes(service as ServedName)) {
    throw new CommandError(`"${service ?? ''}" is not a service: choose one of ${servedNames.join(', ')}`, exitCodes.usage);
  }
  endWithParent();
  const { main } = (await import(serviceEntry(service as ServedName))) as { main: (argv: string[]) => Promise<unknown> };
  await main(rest);
}

/** If `up` started this process, it ends when `up` ends, even if `up` crashes. */
function endWithParent(): void {
  if (!process.connected) return;
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}
