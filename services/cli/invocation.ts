/** How this program was started, so that users can paste the commands that it suggests. */
import { relative, sep } from 'node:path';

/** `npx dropstream` for an installed package, otherwise `node` with the script's path relative to the working directory. */
export function invocation(script: string | undefined = process.argv[1], cwd: string = process.cwd()): string {
  if (script === undefined || script.split(sep).some((part) => part === 'node_modules' || part === '.bin')) return 'npx dropstream';
  return ['node', ...process.execArgv, relative(cwd, script)].join(' ');
}
