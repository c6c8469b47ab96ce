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

/** Options of Node for a child like this process: its own, less the test runner's, with loaders found from any working directory. */
export function nodeOptions(): string[] {
  const found = (loader: string) => (/^[\w@][\w@./-]*$/.test(loader) ? import.meta.resolve(loader) : loader);
  return process.execArgv
    .filter((option) => !option.startsWith('--test'))
    .map((option, k, all) => {
      if (option.startsWith('--import=')) return `--import=${found(option.slice('--import='.length))}`;
      return all[k - 1] === '--import' ? found(option) : option;
    });
}
