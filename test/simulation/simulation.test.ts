/** The simulated store is a store like the others; a short exploration finds nothing wrong, and finds every planted fault. npm run test:simulation goes further. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storeConformance } from '../support/store-conformance.js';
import { explore, replay } from './explore.js';
import { mutants } from './mutants.js';
import { scenarios } from './scenarios.js';
import { StoreState, storeClient } from './simulated-store.js';

storeConformance('the simulated store', async () => {
  const state = new StoreState();
  const open = () =>
    storeClient(async (call) => {
      const { value, error } = state.answer(call, Date.now());
      if (error) throw error;
      return value;
    });
  return { store: open(), other: open(), close: async () => {} };
});

const ACTORS = 2;

for (const scenario of scenarios) {
  test(`${scenario.about}: every invariant holds, whoever goes on when`, async (t) => {
    const { executions, states, complete, violation } = await explore(
      { scenario, actors: ACTORS },
      { budget: { preemptions: 0, faults: 0 } },
    );
    assert.equal(violation?.message, undefined, violation?.choices);
    assert.ok(complete && executions > 1 && states > 1);
    t.diagnostic(`${executions} executions, ${states} states`);
  });
}

/** Where each planted fault shows, and what it takes. */
const found = {
  'no-exclusive-create': { scenario: 'takeover', budget: { preemptions: 1, faults: 0 } },
  'no-uid': { scenario: 'recreate', budget: { preemptions: 0, faults: 0 } },
  'hole-accepted': { scenario: 'hole', budget: { preemptions: 0, faults: 0 } },
};

for (const mutant of mutants) {
  test(`it is found when ${mutant.about}, and the choices alone show it again`, async (t) => {
    const { scenario: name, budget } = found[mutant.name as keyof typeof found];
    const scenario = scenarios.find((one) => one.name === name)!;
    const { violation } = await explore({ scenario, actors: ACTORS, mutant }, { budget });
    assert.ok(violation, 'nothing was found');
    t.diagnostic(`${violation.choices}: ${violation.message}`);
    const { ending } = await replay({ scenario, actors: ACTORS, mutant }, violation.choices);
    assert.equal(ending.violation?.message, violation.message);
    const healthy = await replay({ scenario, actors: ACTORS }, violation.choices);
    assert.equal(healthy.ending.violation?.message, undefined, 'without the fault, the same choices are harmless');
  });
}
