/** Where the entries of services and of the command line lie, compiled or as source. */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceName } from './addresses.js';

const extension = extname(fileURLToPath(import.meta.url));

/** File that a child process runs to be `dropstream`. */
export const commandLineEntry = fileURLToPath(new URL(`./main${extension}`, import.meta.url));

/** main.ts of a service; loaded on demand, so that the command line itself starts quickly. */
export function serviceEntry(service: ServiceName): string {
  return new URL(`../${service}/main${extension}`, import.meta.url).href;
}

/** Options of Node for a child like this process: its own, less the test runner's, with loaders found from anywhere. */
export function nodeOptions(): string[] {
  return process.execArgv
    .filter((option) => !option.startsWith('--test'))
    .map((option) =>
      /^[@\w][\w./@-]*$/.test(option) && process.execArgv[process.execArgv.indexOf(option) - 1] === '--import'
        ? import.meta.resolve(option)
        : option,
    );
}
