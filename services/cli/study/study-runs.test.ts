import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TrainerClient } from '#client/run-events.js';
import { AlreadyExists, NotFound } from '#errors/errors.js';
import { Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { readStudy, runsOf } from './study-file.js';
import { StudyRuns } from './study-runs.js';

const parent = 'projects/p';
const study = readStudy(`study: s\noptions: { model: vit_nano_p7, train_manifest: ${'a'.repeat(64)} }\narms: { a: {}, b: {} }\nseeds: 2`);

/** Runs in memory, whose lists show everything at once. */
class Trainer {
  readonly runs = new Map<string, Run>();
  readonly created: string[] = [];
  /** Runs that exist with another spec. */
  readonly others = new Set<string>();

  put(id: string, state: RunState): void {
    const known = this.runs.get(id);
    const logSequence = (known?.logSequence ?? 0n) + 1n;
    const uid = known?.uid ?? `${id}/${this.created.length}`;
    this.runs.set(id, Run.fromPartial({ name: `${parent}/runs/${id}`, uid, state, logSequence }));
  }

  endAll(state: RunState): void {
    for (const id of this.runs.keys()) this.put(id, state);
  }

  readonly client = {
    listRuns: () => Promise.resolve({ runs: [...this.runs.values()], unreadable: [], nextPageToken: '' }),
    createRun: ({ runId }: { runId: string }) => {
      if (this.others.has(runId)) return Promise.reject(new AlreadyExists('run', runId, 'it has another spec'));
      if (!this.runs.has(runId)) {
        this.created.push(runId);
        this.put(runId, RunState.QUEUED);
      }
      return Promise.resolve({ run: this.runs.get(runId)! });
    },
    getRun: ({ name }: { name: string }) => {
      const run = this.runs.get(name.split('/').at(-1)!);
      return run ? Promise.resolve({ run }) : Promise.reject(new NotFound('run', name));
    },
  };
}

const runsAt = (trainer: Trainer): StudyRuns =>
  new StudyRuns(study, runsOf(study), {
    client: trainer.client as unknown as TrainerClient,
    parent,
    call: { timeoutMs: 1000, signal: new AbortController().signal },
  });

test('a run that is deleted before it was seen to have ended is created again, and the study ends', async () => {
  const trainer = new Trainer();
  const runs = runsAt(trainer);
  assert.equal(await runs.advance(), false);
  assert.deepEqual(trainer.created, ['s-a-1', 's-b-1', 's-a-2', 's-b-2']);
  trainer.runs.delete('s-b-1');
  assert.equal(await runs.advance(), false);
  assert.deepEqual(trainer.created.slice(4), ['s-b-1']);
  trainer.endAll(RunState.SUCCEEDED);
  assert.equal(await runs.advance(), true);
});

test('a run that has ended and is deleted stays what it was to the command that waits', async () => {
  const trainer = new Trainer();
  const runs = runsAt(trainer);
  await runs.advance();
  trainer.endAll(RunState.SUCCEEDED);
  assert.equal(await runs.advance(), true);
  trainer.runs.delete('s-a-1');
  assert.equal(await runs.advance(), true);
  assert.equal(trainer.created.length, 4);
});

test('if any run exists with another spec, none is created', async () => {
  const trainer = new Trainer();
  trainer.put('s-b-2', RunState.QUEUED);
  trainer.others.add('s-b-2');
  await assert.rejects(runsAt(trainer).advance(), AlreadyExists);
  assert.deepEqual(trainer.created, []);
});
