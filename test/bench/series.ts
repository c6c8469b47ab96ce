/**
 * npm run bench:series: how long GetRunSeries takes for a run with many steps, from a trainer that has just started, over a directory. The log is written as a
 * worker writes it, without waiting for the disk.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { sealRecord, seqKey } from '#storage/log-record.js';
import { openStore } from '#storage/open-store.js';
import { type RunKey, recordOf, runName } from '../../services/trainer/run/run-log.js';
import { readSeries } from '../../services/trainer/run/series/read-series.js';
import { SeriesStore } from '../../services/trainer/run/series/series-store.js';
import { rounded } from './statistics.js';

const usage = `npm run bench:series -- [options]

  --steps N       steps of the run (default 1000000)
  --per-record N  steps of a record, of which a worker writes one in a second (default 10)

The last line is one JSON object: seconds for making the series from the log, and for reading 1,000 points of 8 metrics of the whole run and of the last
20,000 steps by a process that has read nothing before.`;

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '1000000' }, 'per-record': { type: 'string', default: '10' }, help: { type: 'boolean' } },
});
if (values.help) console.log(usage);
else await main(Number(values.steps), Number(values['per-record']));

async function main(steps: number, perRecord: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-series-'));
  const store = await openStore(folder);
  try {
    const key: RunKey = { project: 'bench', id: 'long', uid: '0'.repeat(32) };
    const sequence = writeLog(folder, key, steps, perRecord);
    const query = { metrics: [0, 1, 2, 3, 4, 5, 6, 7], fromStep: 0, toStep: undefined, points: 1000, sequence };
    const signal = AbortSignal.timeout(3_600_000);
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      const begun = performance.now();
      await work();
      return rounded((performance.now() - begun) / 1000);
    };
    const making = await timed(async () => {
      const series = new SeriesStore(store);
      const { blockRecords, chapterBlocks } = series.shape;
      const blocks = Math.floor(sequence / blockRecords);
      for (let block = 0; block < blocks; block++) await series.block(key, block, signal);
      for (let chapter = 0; chapter < Math.floor(blocks / chapterBlocks); chapter++) await series.chapter(key, chapter, signal);
    });
    const whole = await timed(() => readSeries(new SeriesStore(store), key, query, signal));
    const end = await timed(() => readSeries(new SeriesStore(store), key, { ...query, fromStep: steps - 20_000 }, signal));
    const kept = new SeriesStore(store);
    await readSeries(kept, key, query, signal);
    const again = await timed(() => readSeries(kept, key, query, signal));
    console.log(JSON.stringify({ steps, records: sequence, making_s: making, whole_s: whole, end_s: end, again_s: again }));
  } finally {
    await store.close();
    await rm(folder, { recursive: true });
  }
}

/** @returns the number of records */
function writeLog(folder: string, { project, id, uid }: RunKey, steps: number, perRecord: number): number {
  const prefix = `${runName(project, id)}/${uid}/log`;
  mkdirSync(join(folder, prefix), { recursive: true });
  let previous = '';
  let seq = 0;
  for (let at = 0; at < steps; at += perRecord) {
    const some = Array.from({ length: Math.min(perRecord, steps - at) }, (_, k) =>
      StepMetrics.fromPartial({
        step: BigInt(at + k),
        ...{
          loss: Math.fround(Math.exp(-(at + k) / 1e5) + Math.sin(at + k) / 50),
          lr: 1e-3,
          dropRate: 0.1,
          weightDecay: 0.05,
          gradNorm: 1 + Math.cos(at + k),
        },
        ...{ dataWaitSeconds: 0.001, stepSeconds: 0.1, batchSha256: [Buffer.alloc(32, (at + k) % 256)] },
      }),
    );
    const { kind, payload } = recordOf({ body: { $case: 'steps', value: { steps: some } } });
    const { bytes, sha256 } = sealRecord({ seq: ++seq, writer: 'bench', previous, kind }, 0, payload);
    previous = sha256;
    writeFileSync(join(folder, seqKey(prefix, seq)), bytes);
  }
  return seq;
}
