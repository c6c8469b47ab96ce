/** What trainer and evaluator say when they start over a store in whose queue version 0.1 left work. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import pino from 'pino';
import { evaluatorConfig } from '../services/evaluator/config.js';
import { start as startEvaluator } from '../services/evaluator/main.js';
import { trainerConfig } from '../services/trainer/config.js';
import { start as startTrainer } from '../services/trainer/main.js';
import { freshDirectoryStore } from './support/fresh-store.js';

const argv = ['--port', '0', '--admin-port', '0', '--role', 'api'];
const starts = {
  runs: (store: string, options: Parameters<typeof startTrainer>[1]) =>
    startTrainer(trainerConfig.parse({ argv: [...argv, '--store', store] }), options),
  evaluations: (store: string, options: Parameters<typeof startTrainer>[1]) =>
    startEvaluator(evaluatorConfig.parse({ argv: [...argv, '--store', store] }), options),
};

for (const [what, start] of Object.entries(starts)) {
  describe(what, () => {
    const warnings = async (keys: readonly string[]): Promise<{ msg: string; count: number; names: string[] }[]> => {
      const { store } = await freshDirectoryStore();
      for (const key of keys) await store.put(key, Buffer.from('{}'));
      const lines: string[] = [];
      const logger = pino({}, { write: (line: string) => void lines.push(line) });
      await (await start(store.uri, { logger, processMetrics: false })).close();
      return lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.includes('version 0.1'));
    };

    test('work of version 0.1 in the queue is named at the start, with what to do', async () => {
      const [warning, ...more] = await warnings([`queue/${what}/p/old`, `queue/${what}/q/older`, 'projects/p/run-index/x']);
      assert.deepEqual(more, []);
      assert.match(warning!.msg, new RegExp(`left ${what} in its queue.*finish them with version 0\\.1, or delete them`));
      assert.deepEqual([warning!.count, warning!.names], [2, [`projects/p/${what}/old`, `projects/q/${what}/older`]]);
    });

    test('of a long queue the first ones are named', async () => {
      const [warning] = await warnings(Array.from({ length: 30 }, (_, k) => `queue/${what}/p/old-${10 + k}`));
      assert.deepEqual([warning!.count, warning!.names.length, warning!.names[0]], [30, 5, `projects/p/${what}/old-10`]);
    });

    test('without such work nothing is said', async () => {
      const other = what === 'runs' ? 'evaluations' : 'runs';
      assert.deepEqual(await warnings([`queue/${other}/p/old`, `${what.slice(0, -1)}-queue/p/new-${'0'.repeat(32)}`]), []);
    });
  });
}
