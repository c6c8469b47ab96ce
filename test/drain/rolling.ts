/**
 * npm run test:rolling: every process of a system with two replicas of each api is restarted twice, over MinIO, while runs are trained and evaluated and
 * callers call.
 */
import { parseArgs } from 'node:util';
import { shake } from './shaken-fleet.js';

const usage = `npm run test:rolling -- [--rounds N]

Restarts every process N times (default 2): two replicas of each api, two workers that train and one that evaluates, over MinIO. Meanwhile runs are trained
and evaluated, and callers call every service. The last line is one JSON object; the exit status is 1 if a call failed that may be repeated within its
deadline, if a run differs from an undisturbed one or did a step twice, or if a process did not end in order.`;

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '2' }, help: { type: 'boolean', default: false } } });

if (values.help) console.log(usage);
else
  await shake(async (fleet) => {
    for (let round = 0; round < Number(values.rounds); round++) await fleet.restart();
  });
