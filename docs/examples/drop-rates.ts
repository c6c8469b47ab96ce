// Asks the scheduler for drop rates of early dropout: 0.1 at first, falling to 0 until epoch 50 of 300.
import { connect } from 'dropstream/client';
import { DropKind, DropMode, DropSchedule } from 'dropstream/protocol/schedule_types';
import { SchedulerServiceClient } from 'dropstream/protocol/scheduler';

const scheduler = connect(SchedulerServiceClient, process.env.DROPSTREAM_SCHEDULER ?? '127.0.0.1:7012');
const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 50 };
const length = { epochs: 300, stepsPerEpoch: 312, depth: 0 };
const steps = [0n, 7800n, 15600n];
const { rates } = await scheduler.getRates({ source: { $case: 'spec', value: spec }, length, steps }, { timeoutMs: 10_000 });
for (const { step, rate } of rates) console.log(`step ${step}: drop rate ${rate.toFixed(4)}`);
scheduler.close();
