/** Paths of the entry files of the services and of the command line, compiled or as source. */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServedName } from './addresses.js';

const extension = extname(fileURLToPath(import.meta.url));

/** The file that a child process runs as `dropstream`. */
export const commandLineEntry = fileURLToPath(new URL(`./main${extension}`, import.meta.url));

/** URL of the main file of a service. It is imported on demand, so that the command line starts quickly. */
export function serviceEntry(service: ServedName): string {
  return new URL(`../${service}/main${extension}`, import.meta.url).href;
}

/** Node options for a child process: those of this process without the test runner's, with loaders as absolute URLs. */
export function nodeOptions(): string[] {
  const found = (loader: string) => (/^[\w@][\w@./-]*$/.test(loader) ? import.meta.resolve(loader) : loader);
  return process.execArgv
    .filter((option) => !option.startsWith('--test'))
    .map((option, k, all) => {
      if (option.startsWith('--import=')) return `--import=${found(option.slice('--import='.length))}`;
      return all[k - 1] === '--import' ? found(option) : option;
    });
}
