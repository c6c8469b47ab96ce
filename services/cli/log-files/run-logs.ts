/** log.txt and TensorBoard's file of a followed run. Both come from the run's log alone, so that following it again completes them. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { EventFile } from './event-file.js';
import { claimFolder, writeWhole } from './output-folder.js';
import { emptyRecord, logLines, takeRecord } from './run-record.js';

export interface LogFolders {
  /** For log.txt; '' for none. */
  readonly outputDir: string;
  /** For the event file; '' for none. */
  readonly logDir: string;
}

export interface FollowedRun {
  readonly name: string;
  /** Newest record of the log: log.txt is not touched before it, so that it never shrinks while the beginning is read again. */
  readonly logSequence: bigint;
}

/** Takes the events of a run in order, from the first of its log. Whoever opens it closes it. */
export class RunLogs {
  readonly #record = emptyRecord();
  #changed = false;
  #whole = false;

  private constructor(
    private readonly run: FollowedRun,
    private readonly textPath: string | undefined,
    private readonly events: EventFile | undefined,
  ) {}

  /** @returns undefined where no folder is wanted. @throws CommandError where a folder is another run's or cannot be written */
  static async open({ outputDir, logDir }: LogFolders, run: FollowedRun, cwd: string): Promise<RunLogs | undefined> {
    if (!outputDir && !logDir) return undefined;
    const [output, log] = [resolve(cwd, outputDir), resolve(cwd, logDir)];
    if (outputDir) await claimFolder(output, run.name);
    if (logDir) {
      await mkdir(log, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
        throw new CommandError(`${log} cannot be made: ${cause.code}`, exitCodes.usage, { cause });
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
