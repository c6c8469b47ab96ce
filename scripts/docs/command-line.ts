/** Tables of the command line's commands and exit codes, from the program itself. */
import { exitCodeMeanings } from '../../services/cli/exit-codes.js';
import { createProgram } from '../../services/cli/program.js';
import { cell, code, table } from './markdown.js';

export function commandTable(): string[] {
  const terminal = { out() {}, err() {}, status() {}, interactive: false, color: false, columns: 80 };
  const program = createProgram({ terminal, env: {}, cwd: '.', signal: new AbortController().signal });
  const rows = program.commands.flatMap((command) =>
    command.commands.length === 0
      ? [[code(command.name()), cell(command.description())]]
      : command.commands.map((sub) => [code(`${command.name()} ${sub.name()}`), cell(sub.description())]),
  );
  return table(['command', 'what it does'], rows);
}

export const exitCodeTable = (): string[] =>
  table(
    ['code', 'meaning'],
    exitCodeMeanings.map(([exitCode, meaning]) => [String(exitCode), cell(meaning)]),
  );
