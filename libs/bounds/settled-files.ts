/**
 * Files that are looked at again and again. Their contents count when two looks in a row find the same ones, so that files which are written one
 * after the other, or in pieces, are not used halfway. Contents are compared, and not times, so it does not matter how a file is replaced: in place,
 * by renaming, or behind a symbolic link as Kubernetes does.
 */
import { createHash } from 'node:crypto';

type Contents = readonly (Buffer | Error)[];

export interface SettledFilesOptions {
  readonly read: () => Contents;
  /** Milliseconds between looks. */
  readonly lookMs: number;
  /** Called with contents that have settled and are not those in use. What it throws means that those in use stay. */
  readonly use: (contents: Contents) => void;
  /** Called once for each state of the files that cannot be used. */
  readonly onFault: (error: unknown) => void;
  /** Called when the contents in use are there again after a fault. */
  readonly onWell: () => void;
  /** Called at each look, last. */
  readonly onLook?: () => void;
}

export class SettledFiles {
  #seen: string;
  #used: string;
  #faulty: string | undefined;
  readonly #timer: NodeJS.Timeout;

  /** The owner closes it. @param used what is in use already */
  constructor(
    private readonly options: SettledFilesOptions,
    used: Contents,
  ) {
    this.#used = digestOf(used);
    this.#seen = this.#used;
    this.#timer = setInterval(() => this.#look(), options.lookMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const contents = this.options.read();
    const digest = digestOf(contents);
    if (digest !== this.#seen) this.#seen = digest;
    else if (digest !== this.#used) this.#use(contents, digest);
    else if (this.#faulty !== undefined) this.#well();
    this.options.onLook?.();
  }

  #use(contents: Contents, digest: string): void {
    try {
      this.options.use(contents);
    } catch (error) {
      // It is tried again at the next look, because a certificate may come into force later, but it is reported once.
      if (this.#faulty !== digest) this.options.onFault(error);
      this.#faulty = digest;
      return;
    }
    this.#used = digest;
    if (this.#faulty !== undefined) this.#well();
  }

  #well(): void {
    this.#faulty = undefined;
    this.options.onWell();
  }
}

function digestOf(contents: Contents): string {
  const hash = createHash('sha256');
  for (const content of contents) {
    const bytes = content instanceof Error ? Buffer.from(`error ${content.message}`) : content;
    hash.update(`${bytes.length} `).update(bytes);
  }
  return hash.digest('hex');
}
