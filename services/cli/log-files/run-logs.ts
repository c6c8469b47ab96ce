/** Writes log.txt and the TensorBoard file of a followed run. Both depend only on the run's log, so following it again completes them. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { EventFile } from './event-file.js';
import { claimFolder, writeWhole } from './output-folder.js';
import { emptyRecord, logLines, takeRecord } from './run-record.js';

export interface LogFolders {
  /** Folder for log.txt, or ''. */
  readonly outputDir: string;
  /** Folder for the event file, or ''. */
  readonly logDir: string;
}

export interface FollowedRun {
  readonly name: string;
  /** Sequence of the newest record. log.txt is not written before it is reached, so that the file never shrinks while the log is read again. */
  readonly logSequence: bigint;
}

/** Takes the events of a run in order, from the first of its log. The caller of open() must call close(). */
export class RunLogs {
  readonly #record = emptyRecord();
  #changed = false;
  #whole = false;

  private constructor(
    private readonly run: FollowedRun,
    private readonly textPath: string | undefined,
    private readonly events: EventFile | undefined,
  ) {}

  /** @returns undefined if no folder is given. @throws CommandError if a folder belongs to another run or cannot be written */
  static async open({ outputDir, logDir }: LogFolders, run: FollowedRun, cwd: string): Promise<RunLogs | undefined> {
    if (!outputDir && !logDir) return undefined;
    const [output, log] = [resolve(cwd, outputDir), resolve(cwd, logDir)];
    if (outputDir) await claimFolder(output, run.name);
    if (logDir) {
      await mkdir(log, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
        throw new CommandError(`${log} cannot be created: ${cause.code}`, exitCodes.usage, { cause });
      });
    }
    return new RunLogs(run, outputDir ? join(output, 'log.txt') : undefined, logDir ? new EventFile(log) : undefined);
  }

  async take(event: RunEvent): Promise<void> {
    await this.events?.take(event);
    if (takeRecord(this.#record, event)) this.#changed = true;
    this.#whole = event.sequence >= this.run.logSequence;
    if (this.#whole) await this.#write();
  }

  async close(): Promise<void> {
    await this.events?.close(this.#whole);
  }

  async #write(): Promise<void> {
    if (this.textPath === undefined || !this.#changed) return;
    this.#changed = false;
    await writeWhole(
      this.textPath,
      logLines(this.#record)
        .map((line) => `${line}\n`)
        .join(''),
    );
  }
}
