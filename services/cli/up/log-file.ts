/** A log file that never grows beyond its bound: when full it becomes `<name>.1`, replacing the one before. */
import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const MAX_BYTES = 32 << 20;

export class LogFile {
  #descriptor: number;
  #size: number;

  /** Appends to what is there. The creator closes it. */
  constructor(
    readonly path: string,
    private readonly maxBytes = MAX_BYTES,
  ) {
    mkdirSync(dirname(path), { recursive: true });
    this.#descriptor = openSync(path, 'a');
    this.#size = statSync(path).size;
  }

  write(line: string): void {
    if (this.#size > this.maxBytes) {
      closeSync(this.#descriptor);
      renameSync(this.path, `${this.path}.1`);
      this.#descriptor = openSync(this.path, 'a');
      this.#size = 0;
    }
    this.#size += writeSync(this.#descriptor, `${line}\n`);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
