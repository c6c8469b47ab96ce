/** All commands of `dropstream`. */
import { Command } from 'commander';
import { version } from '#telemetry/version.js';
import { addCheckpointsCommand } from './commands/checkpoints.js';
import { addContextCommand } from './commands/context.js';
import { addDataCommand } from './commands/data.js';
import { addDemoCommand } from './commands/demo.js';
import { addDoctorCommand } from './commands/doctor.js';
import { addEvaluateCommand } from './commands/evaluate.js';
import { addEvaluationsCommand } from './commands/evaluations.js';
import { addRunsCommand } from './commands/runs.js';
import { addScheduleCommand } from './commands/schedule.js';
import { addServeCommand } from './commands/serve.js';
import { addStoreCommand } from './commands/store.js';
import { addStudyCommand } from './commands/study.js';
import { addTokenCommand } from './commands/token.js';
import { addTrainCommand } from './commands/train.js';
import { addTuneCommand } from './commands/tune.js';
import { addUpCommand } from './commands/up.js';
import type { Context } from './context.js';
import { serverOf } from './contexts.js';
import { exitCodeMeanings } from './exit-codes.js';

/** What an option that does not exist was to have, as `--password=…`, is not repeated. */
const withoutValues = (text: string): string => text.replace(/^(error: unknown option '--?[\w-]+)=.*'/s, "$1=…'");

export function createProgram(given: Context): Command {
  const context: Context = { server: () => serverOf(named(), context), ...given };
  const program = new Command('dropstream')
    .description('Train vision transformers with early, late and standard dropout, as gRPC services.')
    .version(version)
    .option(
      '--context <name>',
      'context, which is a server by name (default: DROPSTREAM_CONTEXT, or the one that `context use` has chosen)',
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.terminal.out(text.replace(/\n$/, '')),
      writeErr: (text) => context.terminal.err(withoutValues(text.replace(/\n$/, ''))),
    })
    .showHelpAfterError('(use --help to list the options)')
    .addHelpText(
      'after',
      () => `\nExit codes:\n${exitCodeMeanings.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`).join('\n')}`,
    );
  const named = (): string | undefined => program.opts<{ context?: string }>().context ?? (context.env.DROPSTREAM_CONTEXT || undefined);
  const commands = [
    addDemoCommand,
    addUpCommand,
    addServeCommand,
    addTrainCommand,
    addRunsCommand,
    addCheckpointsCommand,
    addEvaluateCommand,
    addEvaluationsCommand,
    addStudyCommand,
    addScheduleCommand,
    addDataCommand,
    addStoreCommand,
    addTokenCommand,
    addContextCommand,
    addTuneCommand,
    addDoctorCommand,
  ];
  for (const add of commands) add(program, context);
  return program;
}
