/**
 * The quotas of a process, from a file that is read again when it changes. A file that cannot be used changes nothing: the last good content stays.
 * What was admitted before stays admitted.
 */
import { statSync } from 'node:fs';
import { noQuotas, type ProjectQuotas, type QuotaRules, quotasOf, weightOf } from './quota.js';
import { readQuotaFile } from './quota-file.js';

export interface QuotasOptions {
  /** Empty: nothing is limited, and all projects have the same weight. */
  readonly path: string;
  /** Milliseconds between looks at the file; default 1000. */
  readonly lookMs?: number;
  readonly onChange?: () => void;
  /** Called once for each state of the file that cannot be used. */
  readonly onFault?: (error: unknown) => void;
}

export class Quotas {
  #rules: QuotaRules = noQuotas;
  #seen = '';
  readonly #timer: NodeJS.Timeout | undefined;

  /** The owner closes it. @throws InvalidArgument for a file that cannot be used */
  constructor({ path, lookMs = 1000, onChange, onFault }: QuotasOptions) {
    if (path === '') return;
    this.#seen = versionOf(path);
    this.#rules = readQuotaFile(path);
    this.#timer = setInterval(() => {
      const version = versionOf(path);
      if (version === this.#seen) return;
      this.#seen = version;
      try {
        this.#rules = readQuotaFile(path);
        onChange?.();
      } catch (error) {
        onFault?.(error);
      }
    }, lookMs).unref();
  }

  readonly of = (project: string): ProjectQuotas => quotasOf(this.#rules, project);

  readonly weightOf = (project: string): number => weightOf(this.#rules, project);

  close(): void {
    clearInterval(this.#timer);
  }
}

/** Changes whenever the file was written or replaced, also behind a symbolic link. */
function versionOf(path: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
