/**
 * Where the lines of the audit go: to the standard output, or to a file that is replaced when it is full. Lines wait in a bounded queue. While they cannot
 * be written, the sink tries again, and what does not fit into the queue is dropped and counted; the next line that is written says how many those were.
 */
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

export interface AuditSinkOptions {
  /** Path of a file, or `-` for the standard output. */
  readonly target: string;
  /** Bytes after which a new file begins. */
  readonly maxBytes: number;
  /** Number of files, the newest included: `audit.log`, `audit.log.1`, … */
  readonly files: number;
  /** Called when lines cannot be written, and with undefined when they can again. */
  readonly onFault: (error: Error | undefined) => void;
  /** Default 4 MiB. */
  readonly queueBytes?: number;
  /** Milliseconds between two tries; default 1000. */
  readonly retryMs?: number;
}

interface Target {
  /** Appends all of the text or fails. */
  append(text: string): Promise<void>;
  close(): Promise<void>;
}

/** How long close() may take. */
const CLOSE_MS = 2000;

export class AuditSink {
  #waiting: string[] = [];
  #waitingBytes = 0;
  #unsaid = 0;
  #dropped = 0;
  #written = 0;
  #fault: Error | undefined;
  #writing: Promise<void> | undefined;
  readonly #closed = new AbortController();

  private constructor(
    private readonly target: Target,
    private readonly options: AuditSinkOptions,
  ) {}

  /** The caller closes it. @throws Error of the file system for a file that cannot be written */
  static async open(options: AuditSinkOptions): Promise<AuditSink> {
    return new AuditSink(options.target === '-' ? standardOutput : await RotatedFile.open(options), options);
  }

  /** Lines that were dropped so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Lines that were written so far. */
  get written(): number {
    return this.#written;
  }

  get failing(): boolean {
    return this.#fault !== undefined;
  }

  /** @param line without its end */
  readonly write = (line: string): void => {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#waitingBytes + bytes > (this.options.queueBytes ?? 4 << 20)) {
      this.#dropped++;
      this.#unsaid++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  };

  /** Writes what waits, if that is possible soon. */
  async close(): Promise<void> {
    const patience = AbortSignal.timeout(CLOSE_MS);
    patience.addEventListener('abort', () => this.#closed.abort(), { once: true });
    if (this.#fault) this.#closed.abort();
    await this.#writing;
    this.#closed.abort();
    await this.target.close();
  }

  async #writeAll(): Promise<void> {
    // Lines of one turn are written together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      const bytes = this.#waitingBytes;
      const unsaid = this.#unsaid;
      if (unsaid > 0) lines.push(JSON.stringify({ time: new Date().toISOString(), dropped: unsaid }));
      this.#waiting = [];
      while (!(await this.#tried(`${lines.join('\n')}\n`))) {
        if (this.#closed.signal.aborted) return;
        await delay(this.options.retryMs ?? 1000, undefined, { signal: this.#closed.signal, ref: false }).catch(() => {});
      }
      this.#waitingBytes -= bytes;
      this.#unsaid -= unsaid;
      this.#written += lines.length - (unsaid > 0 ? 1 : 0);
    }
  }

  async #tried(text: string): Promise<boolean> {
    try {
      await this.target.append(text);
    } catch (error) {
      if (this.#fault === undefined) this.options.onFault(error as Error);
      this.#fault = error as Error;
      return false;
    }
    if (this.#fault) this.options.onFault(undefined);
    this.#fault = undefined;
    return true;
  }
}

const standardOutput: Target = {
  append: (text) => new Promise((resolve, reject) => process.stdout.write(text, (error) => (error ? reject(error) : resolve()))),
  close: async () => {},
};

class RotatedFile implements Target {
  #file: FileHandle | undefined;
  #bytes = 0;

  private constructor(
    private readonly path: string,
    private readonly maxBytes: number,
    private readonly files: number,
  ) {}

  static async open({ target, maxBytes, files }: AuditSinkOptions): Promise<RotatedFile> {
    const file = new RotatedFile(target, maxBytes, files);
    await file.#open();
    return file;
  }

  async append(text: string): Promise<void> {
    let file = this.#file ?? (await this.#open());
    if (this.#bytes >= this.maxBytes) file = await this.#replace();
    const bytes = Buffer.from(text);
    try {
      for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
    } catch (error) {
      // A part of the text may have been written; it is written again as a whole.
      await file.truncate(this.#bytes).catch(() => {});
      await this.close();
      throw error;
    }
    this.#bytes += bytes.length;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
  }

  async #open(): Promise<FileHandle> {
    const file = await open(this.path, 'a', 0o600);
    try {
      const { size } = await file.stat();
      this.#bytes = size;
      // What a crash has cut off must not be joined to the next line.
      if (size > 0 && (await lastByte(this.path, size)) !== 10) this.#bytes += (await file.write('\n')).bytesWritten;
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#file = file;
    return file;
  }

  async #replace(): Promise<FileHandle> {
    await this.close();
    for (let number = this.files - 1; number >= 1; number--) {
      const from = number === 1 ? this.path : `${this.path}.${number - 1}`;
      if (await stat(from).catch(() => undefined)) await rename(from, `${this.path}.${number}`);
    }
    // With a single file, nothing of the old one is kept.
    if (this.files === 1) await (await open(this.path, 'w', 0o600)).close();
    return await this.#open();
  }
}

async function lastByte(path: string, size: number): Promise<number | undefined> {
  const file = await open(path, 'r');
  try {
    return (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0];
  } finally {
    await file.close();
  }
}
