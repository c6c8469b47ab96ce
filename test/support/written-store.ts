/** A store that every service has written to, and copies of it for tests of `dropstream store check` to damage. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { listAll } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import type { ToldFinding } from '../../services/cli/store-check/finding-list.js';
import { runCommandLine } from './run-command-line.js';
import { follow, TrainingServices } from './training-services.js';

const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

interface Uids {
  readonly run: string;
  readonly waiting: string;
  readonly evaluation: string;
  readonly schedule: string;
}

/** Removes itself and its copies when it is closed. */
export class WrittenStore {
  readonly #folders: string[] = [];

  private constructor(
    private readonly golden: string,
    private readonly uids: Uids,
  ) {
    this.#folders.push(golden);
  }

  /**
   * Runs `trained` (ended, with checkpoints), `again` (deleted once, which leaves a tombstone) and `waiting`; evaluations `scored` and `waiting`; the
   * schedule `s` with three revisions. What waits keeps the newest checkpoint of `trained` by pins.
   */
  static async make(): Promise<WrittenStore> {
    const golden = await mkdtemp(join(tmpdir(), 'dropstream-golden-'));
    const services = await TrainingServices.open();
    const data = await services.data();
    const { client: trainer, service } = await services.trainer(['--data', data]);
    const { client: evaluator, service: evaluating } = await services.evaluator(['--data', data]);
    const { client: scheduler } = await services.scheduler();
    const { run } = await trainer.createRun({ parent, runId: 'trained', spec: services.spec({ epochs: 3, saveCkptFreq: 1 }) }, soon);
    await follow(trainer, run!.name);
    const checkpoint = (await trainer.getRun({ name: run!.name }, soon)).run!.latestCheckpoint;
    const spec = { checkpoint, manifest: services.evalManifest };
    const { evaluation } = await evaluator.createEvaluation({ parent, evaluationId: 'scored', spec }, soon);
    for await (const { evaluation: now } of evaluator.watchEvaluation({ name: evaluation!.name }, soon))
      if (now!.state === EvaluationState.SUCCEEDED) break;
    const again = { parent, runId: 'again', spec: services.spec() };
    const first = await trainer.createRun(again, soon);
    await trainer.cancelRun({ name: first.run!.name }, soon);
    await trainer.deleteRun({ name: first.run!.name }, soon);
    const drop = { kind: DropKind.DROPOUT, rate: 0.1, mode: 2, schedule: 2, cutoffEpoch: 2 };
    const { schedule } = await scheduler.createSchedule({ parent, scheduleId: 's', spec: drop }, soon);
    for (const rate of [0.2, 0.3]) await scheduler.updateSchedule({ name: schedule!.name, spec: { ...drop, rate } }, soon);
    await service.close();
    await evaluating.close();
    const api = await services.trainer(['--role', 'api']);
    const waiting = (await api.client.createRun({ parent, runId: 'waiting', spec: services.spec({ finetune: checkpoint }) }, soon)).run!;
    const { client: evaluations } = await services.evaluator(['--role', 'api']);
    await evaluations.createEvaluation({ parent, evaluationId: 'waiting', spec: { ...spec, batchSize: 8 } }, soon);
    await cp(services.storeUri, golden, { recursive: true });
    await services.close();
    return new WrittenStore(golden, { run: run!.uid, waiting: waiting.uid, evaluation: evaluation!.uid, schedule: schedule!.uid });
  }

  async copy(): Promise<StoreCopy> {
    const folder = await mkdtemp(join(tmpdir(), 'dropstream-check-'));
    this.#folders.push(folder);
    await cp(this.golden, folder, { recursive: true });
    return new StoreCopy(folder, this.uids);
  }

  async close(): Promise<void> {
    for (const folder of this.#folders) await rm(folder, { recursive: true, force: true });
  }
}

/** A copy of the store, the keys of its objects, and ways to change its files by key. */
export class StoreCopy {
  constructor(
    readonly folder: string,
    readonly uids: Uids,
  ) {}

  /** Where the objects of the run `trained` lie. */
  get run(): string {
    return `projects/p/runs/trained/${this.uids.run}`;
  }

  get schedule(): string {
    return `projects/p/schedules/s/${this.uids.schedule}`;
  }

  /** Where the revisions of the schedule lie. */
  get revisions(): string {
    return `${this.schedule}/revisions`;
  }

  /** Of the run `trained`. */
  record(seq: number): string {
    return `${this.run}/log/${String(seq).padStart(12, '0')}`;
  }

  async keys(part = ''): Promise<string[]> {
    const store = await openStore(this.folder, { lookOnly: true });
    const keys: string[] = [];
    for await (const { key } of listAll(store, '')) if (key.includes(part)) keys.push(key);
    return keys;
  }

  /** Folders of the checkpoints of the run `trained`. */
  async checkpoints(): Promise<string[]> {
    return [...new Set((await this.keys(`${this.run}/checkpoints/`)).map((key) => key.slice(0, key.lastIndexOf('/'))))];
  }

  async newestCheckpoint(): Promise<string> {
    return (await this.checkpoints()).sort().at(-1)!;
  }

  /** A part with tensors of a checkpoint. */
  async partOf(checkpoint: string): Promise<string> {
    return (await this.keys(`${checkpoint}/`)).find((key) => key.endsWith('.safetensors'))!;
  }

  async read(key: string): Promise<Buffer> {
    return await readFile(join(this.folder, key));
  }

  /** @returns the key, as all changes do */
  async write(key: string, bytes: Buffer | string): Promise<string> {
    await mkdir(dirname(join(this.folder, key)), { recursive: true });
    await writeFile(join(this.folder, key), bytes);
    return key;
  }

  async delete(key: string): Promise<string> {
    await rm(join(this.folder, key), { recursive: true });
    return key;
  }

  async flip(key: string): Promise<string> {
    const bytes = await this.read(key);
    bytes[bytes.length >> 1]! ^= 1;
    return await this.write(key, bytes);
  }

  /** Cuts an object off after so many bytes. */
  async cut(key: string, bytes: number): Promise<string> {
    return await this.write(key, (await this.read(key)).subarray(0, bytes));
  }
}

export interface Checked {
  readonly code: number;
  readonly whole: boolean;
  readonly objects: number;
  readonly findings: readonly ToldFinding[];
}

/** `dropstream store check`; everything is old enough to be a leftover. @param env credentials of a store that is no folder */
export async function checkStore(store: string, argv: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Checked> {
  const command = ['store', 'check', '--json', '--store', store, '--grace-hours', '0', ...argv];
  const { code, out } = await runCommandLine(command, { env, cwd: tmpdir(), timeoutMs: 120_000 });
  return { code, ...(JSON.parse(out) as Omit<Checked, 'code'>) };
}
