/** A log file of bounded size. When it is full, it is renamed to `<name>.1`, which replaces the previous one. */
import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const MAX_BYTES = 32 << 20;

export class LogFile {
  #descriptor: number;
  #size: number;

  /** Opens the file for appending. The caller must call close(). */
  constructor(
    readonly path: string,
    private readonly maxBytes = MAX_BYTES,
  ) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#descriptor = openSync(path, 'a', 0o600);
    this.#size = statSync(path).size;
  }

  write(line: string): void {
    if (this.#size > this.maxBytes) {
      closeSync(this.#descriptor);
      renameSync(this.path, `${this.path}.1`);
      this.#descriptor = openSync(this.path, 'a', 0o600);
      this.#size = 0;
    }
    this.#size += writeSync(this.#descriptor, `${line}\n`);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
