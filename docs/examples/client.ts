// A call to each service from TypeScript. Addresses: DROPSTREAM_{DATA,SCHEDULER,TRAINER,EVALUATOR}; a manifest as first argument.
import { connect } from 'dropstream/client';
import { DataServiceClient } from 'dropstream/protocol/data';
import { EvaluatorServiceClient } from 'dropstream/protocol/evaluator';
import { DropKind, DropMode, DropSchedule } from 'dropstream/protocol/schedule_types';
import { SchedulerServiceClient } from 'dropstream/protocol/scheduler';
import { TrainerServiceClient } from 'dropstream/protocol/trainer';

const { env, argv } = process;
const within = { timeoutMs: 10_000 };

const scheduler = connect(SchedulerServiceClient, env.DROPSTREAM_SCHEDULER ?? '127.0.0.1:7012');
const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 50 };
const length = { epochs: 300, stepsPerEpoch: 312, depth: 0 };
const { rates } = await scheduler.getRates({ source: { $case: 'spec', value: spec }, length, steps: [0n, 7800n, 15600n] }, within);
for (const { step, rate } of rates) console.log(`step ${step}: drop rate ${rate.toFixed(4)}`);

const trainer = connect(TrainerServiceClient, env.DROPSTREAM_TRAINER ?? '127.0.0.1:7013');
const { runs } = await trainer.listRuns({ parent: 'projects/default' }, within);
console.log(`${runs.length} runs`);

const evaluator = connect(EvaluatorServiceClient, env.DROPSTREAM_EVALUATOR ?? '127.0.0.1:7014');
const { evaluations } = await evaluator.listEvaluations({ parent: 'projects/default' }, within);
console.log(`${evaluations.length} evaluations`);

const data = connect(DataServiceClient, env.DROPSTREAM_DATA ?? '127.0.0.1:7011');
const { kind, samples, classes } = await data.describeDataset({ dataset: { manifest: argv[2] ?? '' } }, within);
console.log(`${kind}: ${samples} images of ${classes.join(', ')}`);

for (const client of [scheduler, trainer, evaluator, data]) client.close();
