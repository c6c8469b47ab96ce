import { parseArgs } from 'node:util';
import { explore, replay } from './explore.js';
import { scenarios } from './scenarios.js';

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    preemptions: { type: 'string', default: '1' },
    faults: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    replay: { type: 'string' },
  },
});
for (const scenario of scenarios) {
  if (values.scenario && scenario.name !== values.scenario) continue;
  if (values.replay !== undefined) {
    const { ending, trace } = await replay(scenario, values.replay);
    console.log(trace.join('\n'));
    console.log(ending.choices, ending.violation?.message ?? 'holds');
    continue;
  }
  const began = performance.now();
  const report = await explore(scenario, {
    budget: { preemptions: Number(values.preemptions), faults: Number(values.faults) },
    limitMs: 1000 * Number(values.seconds),
  });
  console.log(scenario.name, report, `${Math.round(performance.now() - began)} ms`);
}
