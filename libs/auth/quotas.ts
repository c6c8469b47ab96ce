/**
 * The quotas of a process, from a file that is read again when it changes. A file that cannot be used changes nothing: the last good content stays.
 * What was admitted before stays admitted.
 */
import { SettledFiles } from '#bounds/settled-files.js';
import { noQuotas, type ProjectQuotas, type QuotaRules, quotasOf, weightOf } from './quota.js';
import { parseQuotas, readQuotas } from './quota-file.js';

export interface QuotasOptions {
  /** Empty: nothing is limited, and all projects have the same weight. */
  readonly path: string;
  /** Milliseconds between looks at the file; default 500. What changes counts at the second look. */
  readonly lookMs?: number;
  readonly onChange: () => void;
  /** Called once for each state of the file that cannot be used. */
  readonly onFault: (error: unknown) => void;
  /** Called when the content in use is there again after a fault. */
  readonly onWell: () => void;
}

export class Quotas {
  #rules: QuotaRules = noQuotas;
  readonly #file: SettledFiles | undefined;

  /** The owner closes it. @throws InvalidArgument for a file that cannot be used */
  constructor({ path, lookMs = 500, onChange, onFault, onWell }: QuotasOptions) {
    if (path === '') return;
    const first = readQuotas(path);
    this.#rules = parseQuotas(first, path);
    const use = ([content]: readonly (Buffer | Error)[]): void => {
      this.#rules = parseQuotas(content!, path);
      onChange();
    };
    this.#file = new SettledFiles({ read: () => [readQuotas(path)], lookMs, use, onFault, onWell }, [first]);
  }

  readonly of = (project: string): ProjectQuotas => quotasOf(this.#rules, project);

  readonly weightOf = (project: string): number => weightOf(this.#rules, project);

  close(): void {
    this.#file?.close();
  }
}
