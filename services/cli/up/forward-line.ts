/** Prints a service's log lines for `up`: those of a level or above, as readable text, with the service's name in front. */
import { prettyLine } from '#telemetry/pretty-line.js';
import type { Terminal } from '../output/terminal.js';

export const logLevelNames = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
const rank = (level: string): number => (level === 'fatal' ? 4 : logLevelNames.indexOf(level as 'info'));

/** Lines that are not log messages (a stack trace, a warning of Node) are printed unless `least` is silent. */
export function forwardLine(terminal: Pick<Terminal, 'err'>, name: string, line: string, least: string): void {
  if (least === 'silent') return;
  const level = /^\{"level":"(\w+)"/.exec(line)?.[1];
  if (level === undefined) terminal.err(`${name}: ${line}`);
  else if (rank(level) >= rank(least)) terminal.err(`${name}: ${prettyLine(line).trimEnd()}`);
}
