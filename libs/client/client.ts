/**
 * The client of all services:
 *
 *     const client = new Client({ data: ['127.0.0.1:7011', '127.0.0.1:7021'], trainer: '127.0.0.1:7013' });
 *     for await (const { images, targets } of client.batches(plan, { epochs: 90 })) …
 *     await client.close();
 */
import { randomUUID } from 'node:crypto';
import { callerToken } from '#auth/caller-token.js';
import { BatchClient, type BatchClientOptions } from '#data/client/batch-client.js';
import { Cancelled, DeadlineExceeded, Unavailable } from '#errors/errors.js';
import { type DeepPartial, type DescribeDatasetResponse, Plan, type PreviewImage } from '#protocol/dropstream/v1/data.js';
import { type Evaluation, EvaluationSpec, EvaluationState, EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { type Rate, SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { type Run, type RunEvent, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ClientClass, type ConnectOptions, connect, type TypedClient } from '#rpc/client.js';
import { Batches, type BatchesState, type BatchFormat } from './batches.js';
import { type EvaluatorClient, evaluationStates } from './evaluation-states.js';
import { EvaluationFailed, RunFailed } from './failures.js';
import { endStates, runEvents, type TrainerClient } from './run-events.js';

export type SchedulerClient = TypedClient<(typeof SchedulerServiceClient)['service']>;

const serviceNames = ['data', 'scheduler', 'trainer', 'evaluator'] as const;
type ServiceName = (typeof serviceNames)[number];

export interface ClientOptions {
  /** One address for each replica, `host:port`; `dns:///host:port` stands for all replicas behind that name. Default: DROPSTREAM_DATA. */
  readonly data?: string | readonly string[];
  /** `host:port`. Default: DROPSTREAM_SCHEDULER, DROPSTREAM_TRAINER, DROPSTREAM_EVALUATOR. */
  readonly scheduler?: string;
  readonly trainer?: string;
  readonly evaluator?: string;
  /** Id of the project; default `default`. */
  readonly project?: string;
  /** TLS, metadata, a token and so on. Default of the token: DROPSTREAM_TOKEN, or the file that DROPSTREAM_TOKEN_FILE names. */
  readonly connect?: ConnectOptions;
  /** Deadline of a call with all its repetitions; default 30 s. */
  readonly timeoutMs?: number;
}

/** Limits of one call. */
export interface CallLimits {
  /** Default: that of the client, or no end where a method says so. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface BatchesOptions<F extends BatchFormat>
  extends Pick<BatchClientOptions, 'inFlight' | 'inFlightBytes' | 'attemptMs' | 'totalMs' | 'onFailure'> {
  /** Default float32: normalised, erased and mixed images with soft targets. */
  readonly format?: F;
  /** The first batch, or a state of an earlier stream; default: the first batch of epoch 0. */
  readonly start?: BatchesState;
  /** The last epoch is epochs − 1; the default is no end. */
  readonly epochs?: number;
  readonly signal?: AbortSignal;
}

export interface RatesRequest {
  readonly steps: readonly (bigint | number)[];
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  /** Number of residual blocks whose rates are computed too; default 0. */
  readonly depth?: number;
  /** Revision of a stored schedule; default: the newest one. */
  readonly revision?: bigint;
}

export interface SubmitOptions extends CallLimits {
  readonly runId?: string;
  /** Makes the call safe to repeat, also after a crash of the caller; default: a random id for this call. */
  readonly requestId?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** True: check the spec and return the run without storing it. */
  readonly validateOnly?: boolean;
}

export interface WatchOptions {
  /** Only events with a greater sequence number, for example to go on after a break. */
  readonly after?: bigint;
  /** Uid of the run that `after` belongs to. */
  readonly uid?: string;
  readonly signal?: AbortSignal;
  /** Seconds without a connection after which Unavailable is thrown; default 60. */
  readonly patienceSeconds?: number;
}

export interface EvaluateOptions extends CallLimits {
  readonly evaluationId?: string;
  readonly requestId?: string;
  /** Other fields of the spec; the defaults are those of the run. */
  readonly spec?: Omit<DeepPartial<EvaluationSpec>, 'checkpoint'>;
  readonly patienceSeconds?: number;
}

/** Largest page of PreviewBatch. */
const PREVIEW_PAGE = 64;

export class Client {
  readonly #closing = new AbortController();
  readonly #addresses: Readonly<Record<ServiceName, readonly string[]>>;
  readonly #project: string;
  readonly #connect: ConnectOptions;
  readonly #streams = new Set<{ close(): Promise<void> }>();
  readonly #connections = new Map<ServiceName, { close(): void }>();

  /** Connects with the first call. @throws InvalidArgument for a token in the environment that is none */
  constructor(private readonly options: ClientOptions = {}) {
    this.#project = `projects/${options.project ?? 'default'}`;
    const token = options.connect?.token ?? callerToken(undefined, process.env);
    this.#connect = { ...options.connect, ...(token === undefined ? {} : { token }) };
    const list = (name: ServiceName): readonly string[] => {
      const given = options[name] ?? process.env[`DROPSTREAM_${name.toUpperCase()}`] ?? [];
      return typeof given === 'string' ? given.split(',').flatMap((part) => part.trim() || []) : given;
    };
    this.#addresses = { data: list('data'), scheduler: list('scheduler'), trainer: list('trainer'), evaluator: list('evaluator') };
  }

  /** Every RPC of the scheduler. */
  get scheduler(): SchedulerClient {
    return this.#service('scheduler', SchedulerServiceClient);
  }

  /** Every RPC of the trainer. */
  get trainer(): TrainerClient {
    return this.#service('trainer', TrainerServiceClient);
  }

  /** Every RPC of the evaluator. */
  get evaluator(): EvaluatorClient {
    return this.#service('evaluator', EvaluatorServiceClient);
  }

  /**
   * Batches of a plan, in order of epoch and index, from whichever replica answers. The bytes depend on the plan, the epoch and the index alone. Every
   * payload is checked against its SHA-256, and every header against the plan's digest.
   */
  batches<F extends BatchFormat = 'float32'>(plan: DeepPartial<Plan>, options: BatchesOptions<F> = {}): Batches<F> {
    const { format = 'float32' as F, start = { epoch: 0, index: 0 }, epochs, signal, ...rest } = options;
    const request = {
      plan: Plan.fromPartial(plan),
      parent: this.#project,
      signal: this.#signal(signal),
      ...(epochs === undefined ? {} : { epochs }),
    };
    const batches: Batches<F> = new Batches(this.#batchClient(rest), request, format, start, () => this.#streams.delete(batches));
    this.#streams.add(batches);
    return batches;
  }

  /** Classes and sizes of a data set and, with a plan, the length of its epoch. */
  async describe(
    manifest: string,
    { plan, ...limits }: CallLimits & { readonly plan?: DeepPartial<Plan> } = {},
  ): Promise<DescribeDatasetResponse> {
    return await this.#fromAnyReplica('the description of a data set', limits, (client, signal) =>
      client.describe(manifest, signal, plan && Plan.fromPartial(plan), this.#project),
    );
  }

  /** At most `limit` (default 16) images of a batch as PNG files, each with its transforms as text. */
  async preview(
    plan: DeepPartial<Plan>,
    {
      epoch = 0,
      index = 0,
      limit = 16,
      ...limits
    }: CallLimits & { readonly epoch?: number; readonly index?: number; readonly limit?: number } = {},
  ): Promise<PreviewImage[]> {
    const request = { parent: this.#project, plan: Plan.fromPartial(plan), epoch, index, limit: Math.min(limit, PREVIEW_PAGE) };
    return await this.#fromAnyReplica('the preview of a batch', limits, async (client, signal) => {
      const images: PreviewImage[] = [];
      for (let pageToken = ''; ; ) {
        const page = await client.preview({ ...request, pageToken }, signal);
        images.push(...page.images);
        pageToken = page.nextPageToken;
        if (images.length >= limit || pageToken === '') return images.slice(0, limit);
      }
    });
  }

  /** Drop rates of a stored schedule (its name), or of a spec that need not be stored. */
  async rates(schedule: string | DeepPartial<DropScheduleSpec>, request: RatesRequest, limits: CallLimits = {}): Promise<Rate[]> {
    const { steps, epochs, stepsPerEpoch, depth = 0, revision = 0n } = request;
    const source =
      typeof schedule === 'string'
        ? ({ $case: 'schedule', value: this.#name('schedules', schedule) } as const)
        : ({ $case: 'spec', value: DropScheduleSpec.fromPartial(schedule) } as const);
    const message = { source, revision, length: { epochs, stepsPerEpoch, depth }, steps: steps.map(BigInt) };
    return (await this.scheduler.getRates(message, this.#call(limits))).rates;
  }

  /** Creates a run. The same request id with the same content returns the run that was created first. */
  async submit(spec: DeepPartial<RunSpec>, options: SubmitOptions = {}): Promise<Run> {
    const { runId = '', requestId = randomUUID(), labels = {}, validateOnly = false, ...limits } = options;
    const request = { parent: this.#project, runId, spec: RunSpec.fromPartial(spec), requestId, labels: { ...labels }, validateOnly };
    return present((await this.trainer.createRun(request, this.#call(limits))).run);
  }

  /** The current state of a run. */
  async run(run: string, limits: CallLimits = {}): Promise<Run> {
    return present((await this.trainer.getRun({ name: this.#name('runs', run) }, this.#call(limits))).run);
  }

  /** Ends a run; it cannot be resumed. */
  async cancel(run: string, limits: CallLimits = {}): Promise<Run> {
    const call = { ...this.#call(limits), idempotent: true };
    return present((await this.trainer.cancelRun({ name: this.#name('runs', run) }, call)).run);
  }

  /** Events of a run's log, and then new ones as they happen, until the run has ended. */
  watch(run: string, { signal, ...options }: WatchOptions = {}): AsyncGenerator<RunEvent, void, void> {
    return runEvents(this.trainer, this.#name('runs', run), { ...options, signal: this.#signal(signal) });
  }

  /** Waits until a run has succeeded, and returns it; without `timeoutMs` there is no end. @throws RunFailed, DeadlineExceeded */
  async wait(run: string, limits: CallLimits & { readonly patienceSeconds?: number } = {}): Promise<Run> {
    return await this.#within(`waiting for the run ${run}`, limits, async (signal) => {
      let found = await this.run(run, { signal });
      if (!endStates.has(found.state)) {
        const { patienceSeconds = 60 } = limits;
        for await (const _ of runEvents(this.trainer, found.name, { after: found.logSequence, uid: found.uid, signal, patienceSeconds }));
        found = await this.run(found.name, { signal });
      }
      if (found.state !== RunState.SUCCEEDED) throw new RunFailed(found);
      return found;
    });
  }

  /**
   * Evaluates a checkpoint (its name, or RUN/CHECKPOINT, RUN/best, RUN/latest), waits for the result and returns it; without `timeoutMs` there is no
   * end. @throws EvaluationFailed, DeadlineExceeded
   */
  async evaluate(checkpoint: string, options: EvaluateOptions = {}): Promise<Evaluation> {
    const { evaluationId = '', requestId = randomUUID(), spec = {}, patienceSeconds = 60, ...limits } = options;
    const request = {
      parent: this.#project,
      evaluationId,
      requestId,
      spec: EvaluationSpec.fromPartial({ ...spec, checkpoint: this.#checkpoint(checkpoint) }),
    };
    return await this.#within(`evaluating ${checkpoint}`, limits, async (signal) => {
      let evaluation = present((await this.evaluator.createEvaluation(request, this.#call({ signal }))).evaluation);
      for await (const next of evaluationStates(this.evaluator, evaluation.name, { signal, patienceSeconds })) evaluation = next;
      if (evaluation.state !== EvaluationState.SUCCEEDED) throw new EvaluationFailed(evaluation);
      return evaluation;
    });
  }

  /** Closes all connections; calls and streams in flight end as Cancelled. */
  async close(): Promise<void> {
    this.#closing.abort(new Cancelled('the client'));
    await Promise.all([...this.#streams].map((stream) => stream.close()));
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  #service<D extends object>(name: ServiceName, type: ClientClass<D>): TypedClient<D> {
    const known = this.#connections.get(name) as TypedClient<D> | undefined;
    if (known) return known;
    this.#closing.signal.throwIfAborted();
    const client = connect(type, this.#address(name).join(','), this.#connect);
    this.#connections.set(name, client);
    return client;
  }

  #batchClient(options: Omit<BatchClientOptions, 'addresses' | 'connect'>): BatchClient {
    return new BatchClient({ ...options, addresses: this.#address('data'), connect: this.#connect });
  }

  #address(name: ServiceName): readonly string[] {
    const addresses = this.#addresses[name];
    if (addresses.length === 0)
      throw new TypeError(`the client has no ${name} address: pass ${name}: 'host:port', or set DROPSTREAM_${name.toUpperCase()}`);
    return addresses;
  }

  async #fromAnyReplica<T>(what: string, limits: CallLimits, call: (client: BatchClient, signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeoutMs = limits.timeoutMs ?? this.options.timeoutMs ?? 30_000;
    // A replica that never answers must leave time for the others.
    const client = this.#batchClient({ totalMs: timeoutMs, attemptMs: timeoutMs / this.#address('data').length });
    try {
      return await this.#within(what, { ...limits, timeoutMs }, (signal) => call(client, signal));
    } finally {
      client.close();
    }
  }

  #call({ timeoutMs, signal }: CallLimits) {
    return { timeoutMs: timeoutMs ?? this.options.timeoutMs ?? 30_000, signal: this.#signal(signal) };
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
  }

  /** Does something that consists of several calls. */
  async #within<T>(what: string, { timeoutMs, signal }: CallLimits, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const end = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    try {
      return await act(AbortSignal.any([this.#signal(signal), ...(end ? [end] : [])]));
    } catch (error) {
      if (error instanceof Cancelled && end?.aborted && !signal?.aborted && !this.#closing.signal.aborted)
        throw new DeadlineExceeded(what, { cause: error });
      throw error;
    }
  }

  #name(collection: string, name: string): string {
    return name.includes('/') ? name : `${this.#project}/${collection}/${name}`;
  }

  #checkpoint(name: string): string {
    const parts = name.split('/');
    return parts.length === 2 ? `${this.#project}/runs/${parts[0]}/checkpoints/${parts[1]}` : name;
  }
}

/** The resource in an answer, which every service sends. */
function present<T>(resource: T | undefined): T {
  if (resource === undefined) throw new Unavailable('the resource in the answer of the service');
  return resource;
}
