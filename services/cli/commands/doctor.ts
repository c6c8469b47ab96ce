/** `dropstream doctor`: checks this machine, the object store and the services. */
import type { Command } from 'commander';
import { redacted } from '#errors/redact.js';
import { serviceNames } from '../addresses.js';
import type { Context } from '../context.js';
import { addonChecks } from '../doctor/addon.js';
import { machineChecks } from '../doctor/machine.js';
import { serviceCheck, storeCheck } from '../doctor/surroundings.js';
import { CommandError } from '../exit-codes.js';
import { paint } from '../output/terminal.js';
import { printJson } from './shared-options.js';

export interface Check {
  readonly name: string;
  /** `warn`: it works with a limitation; `skip`: there is nothing to check. */
  readonly outcome: 'ok' | 'warn' | 'fail' | 'skip';
  readonly detail: string;
}

export function addDoctorCommand(program: Command, context: Context): void {
  const command = program
    .command('doctor')
    .description('check this machine, the object store and the services')
    .option('--store <uri>', 'object store to check (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)')
    .option('--json', 'print the result as JSON');
  for (const service of serviceNames) command.option(`--${service} <host:port>`, `address of the ${service} service`);
  command.action(async (options: Record<string, string | undefined> & { json?: boolean }) => {
    const groups = [
      machineChecks(context),
      addonChecks(),
      storeCheck(options.store, context),
      ...serviceNames.map((s) => serviceCheck(s, options[s], context)),
    ];
    const checks = (await Promise.all(groups)).flat().map((check) => ({ ...check, detail: redacted(check.detail) }));
    const { terminal } = context;
    if (options.json) printJson(context, checks);
    else {
      const width = Math.max(...checks.map((check) => check.name.length));
      const colors = { ok: 'green', warn: 'yellow', fail: 'red', skip: 'dim' } as const;
      for (const { name, outcome, detail } of checks)
        terminal.out(`${paint(terminal, colors[outcome], outcome.padEnd(4))}  ${name.padEnd(width)}  ${detail}`);
    }
    const failed = checks.filter((check) => check.outcome === 'fail');
    if (failed.length > 0)
      throw new CommandError(`${failed.length} of ${checks.length} checks failed: ${failed.map((check) => check.name).join(', ')}`);
  });
}
