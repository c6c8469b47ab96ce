import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TrainerClient } from '#client/run-events.js';
import { Checkpoint, GetRunSeriesResponse, Run, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { readReportRun } from './read-run.js';

const call = { timeoutMs: 1000, signal: new AbortController().signal };
const evaluation = (sequence: bigint) => {
  const scores = { loss: 1, top1: 50, classCorrect: [1n, 2n], classSamples: [2n, 4n] };
  const value = { step: sequence, result: { weights: scores, ema: scores } };
  return RunEvent.fromPartial({ sequence, event: { $case: 'evaluation', value } });
};
const steps = (sequence: bigint, step: bigint) =>
  RunEvent.fromPartial({ sequence, event: { $case: 'steps', value: { steps: [{ step, loss: 1 }] } } });

/** A trainer that has one run with these events. */
function trainerOf(events: readonly RunEvent[], logSequence: bigint): TrainerClient {
  const answers = {
    getRun: async () => ({ run: Run.fromPartial({ uid: 'u', logSequence }) }),
    listCheckpoints: async () => ({
      checkpoints: [Checkpoint.fromPartial({ name: 'c1', files: [{ role: 'weights', url: 'http://store/secret' }] })],
      nextPageToken: '',
    }),
    getRunSeries: async () => GetRunSeriesResponse.fromPartial({ series: [{ values: [1 / 3, Number.NaN] }] }),
    async *watchRun() {
      for (const event of events) yield { event };
    },
  };
  return answers as unknown as TrainerClient;
}

test('of steps and of counts by class a report has the newest alone, and nothing that came after it was begun', async () => {
  const client = trainerOf([evaluation(1n), steps(2n, 1n), evaluation(3n), steps(4n, 2n), evaluation(5n), steps(6n, 3n)], 5n);
  const { events } = (await readReportRun('projects/p/runs/r', { client, call })) as unknown as {
    events: { sequence: string; evaluation?: { result: Record<'weights' | 'ema', { top1: number; classSamples?: string[] }> } }[];
  };
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    ['1', '3', '4', '5'],
  );
  const scores = events.flatMap((event) => (event.evaluation ? [event.evaluation.result.weights, event.evaluation.result.ema] : []));
  assert.deepEqual(
    scores.map(({ top1, classSamples = [] }) => [top1, classSamples.length]),
    [...Array.from({ length: 4 }, () => [50, 0]), [50, 2], [50, 2]],
  );
});

test('steps that a resume did again are left out, and so are the addresses of files', async () => {
  const resumed = RunEvent.fromPartial({ sequence: 2n, event: { $case: 'resumed', value: { attempt: 2, fromStep: 1n } } });
  const read = await readReportRun('projects/p/runs/r', { client: trainerOf([steps(1n, 1n), resumed], 2n), call });
  assert.deepEqual(
    read.events.map((event) => (event as { sequence: string }).sequence),
    ['2'],
  );
  assert.doesNotMatch(JSON.stringify(read), /secret/);
});
