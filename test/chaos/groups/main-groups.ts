/** npm run test:chaos -- --groups: runs that several workers compute, while workers join, leave, are killed, frozen and cut off; each equals one worker's. */
import { collectivesAvailable } from '#collectives/index.js';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { TrainingServices } from '../../support/training-services.js';
import { groupPlan } from './group-plan.js';
import { aloneRun, groupStorm, PLACES, type RunResult, type StormPlace } from './group-storm.js';
import { openNetworks } from './networks.js';

/** Faults of one storm. */
const FAULTS = 8;
export const SMALL_MODEL = 'vit_nano_p7';

/** What changes bits, with 8 and with 13 leaves: drop path and dropout exclude each other. */
const variants: readonly { readonly name: string; readonly part: Partial<RunSpec> }[] = [
  { name: '8-leaves-drop-path', part: { updateFreq: 8, dropPath: 0.2, epochs: 60 } },
  { name: '13-leaves-dropout', part: { updateFreq: 13, dropout: 0.1, epochs: 120 } },
];

/** @param model a small one has four images a leaf, any other two. @returns what is wrong */
export async function stormGroups(seeds: readonly number[], model: string, say: (text: string) => void): Promise<readonly string[]> {
  const batch = model === SMALL_MODEL ? 4 : 2;
  const found = collectivesAvailable();
  if (!found.available) throw new Error(`several workers cannot train one run here: ${found.reason}`);
  const networks = await openNetworks(PLACES);
  const ends: (() => Promise<unknown>)[] = [() => networks.close()];
  const wrong: string[] = [];
  try {
    const services = await TrainingServices.open({ train: 6 * 8 * batch, test: 20 });
    ends.unshift(() => services.close());
    const remote = networks.canCut ? ['--host', networks.host, '--allow-remote', '--allow-anonymous'] : [];
    const { address } = await services.dataReplica(0, remote);
    const data = `${networks.host}:${address.split(':').at(-1)}`;
    const { client: trainer } = await services.trainer(['--role', 'api']);
    const at: StormPlace = { trainer, storeUri: services.storeUri, data, networks, say, after: (end) => ends.unshift(end) };
    for (const { name, part } of variants) {
      const spec = services.spec({
        ...{
          precision: Precision.BF16,
          model,
          batchSize: batch,
          mixup: 0.8,
          modelEma: true,
          modelEmaDecay: 0.9,
          clipGrad: 1,
          saveCkptFreq: 20,
          seed: 7n,
        },
        ...part,
      });
      const alone = await aloneRun(at, `alone-${name}`, spec);
      say(`${name}: one worker has made ${alone.losses.length} steps`);
      for (const seed of seeds) {
        const { losses, batches, files, ...report } = await groupStorm(
          at,
          `storm-${name}-${seed}`,
          spec,
          groupPlan(seed, FAULTS, networks.canCut),
        );
        const differing = differences(alone, { losses, batches, files });
        console.log(JSON.stringify({ storm: name, seed, cuts: networks.canCut, steps: losses.length, ...report, differing }));
        wrong.push(...differing.map((what) => `${name}, seed ${seed}: ${what}`));
      }
    }
  } finally {
    for (const end of ends) await end();
  }
  return wrong;
}

function differences(alone: RunResult, of: RunResult): string[] {
  return (['losses', 'batches', 'files'] as const).flatMap((what) => {
    const at = alone[what].findIndex((value, index) => of[what][index] !== value);
    if (at === -1 && alone[what].length === of[what].length) return [];
    return [`${what} differ from those of one worker, first at ${at === -1 ? alone[what].length : at}`];
  });
}
