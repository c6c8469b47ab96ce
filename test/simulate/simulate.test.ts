/** What must hold of every simulated day, whatever its seed, its nodes and its losses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fixedFleet, hpaFleet, kedaFleet } from './fleets.js';
import { largeFigures } from './large.js';
import { measureRequests } from './measure-requests.js';
import { outcomeOf } from './outcome.js';
import { reportPage } from './report.js';
import { type Fleet, Simulation } from './simulation.js';
import { generateDay, parseTrace } from './trace.js';
import { defaultWorld, type World } from './world.js';

/** Worlds with many losses, few places and many evictions among them. */
const worlds = fc
  .record({
    seed: fc.bigInt(0n, 2n ** 60n),
    maxWorkers: fc.integer({ min: 1, max: 60 }),
    meanEvictionSeconds: fc.constantFrom(1800, 86_400),
    checkpointSeconds: fc.constantFrom(60, 300, 3000),
    life: fc.constantFrom(1800, 20_000),
    spotNodes: fc.nat(12),
  })
  .map(({ life, spotNodes, ...part }): World => {
    const [spot, onDemand] = defaultWorld.kinds as [World['kinds'][number], World['kinds'][number]];
    const kinds = [
      { ...spot, meanLifeSeconds: life, maxNodes: spotNodes },
      { ...onDemand, slots: 2, speed: 2.5 },
    ];
    return { ...defaultWorld, ...part, kinds };
  });
const fleets: Readonly<Record<string, () => Fleet>> = { keda: () => kedaFleet(), fixed: () => fixedFleet(9), hpa: () => hpaFleet() };

test('no run is lost, and the work that was computed is the work of the runs and what was lost', () => {
  fc.assert(
    fc.property(worlds, fc.constantFrom(...Object.keys(fleets)), (world, fleet) => {
      const trace = generateDay(120, world.seed);
      const simulation = new Simulation(trace, world, fleets[fleet]!()).run();
      assert.ok(simulation.runs.every(({ state, saved, seconds }) => state === 'over' && saved === seconds));
      const wanted = trace.reduce((sum, { seconds }) => sum + seconds, 0);
      assert.ok(Math.abs(simulation.work.done - simulation.work.lost - wanted) < 1e-6 * wanted, `${simulation.work.done} ${wanted}`);
      assert.ok(simulation.work.lost >= 0);
      for (const { at, firstClaimAt, endedAt, attempts } of simulation.runs)
        assert.ok(at <= firstClaimAt && firstClaimAt < endedAt && attempts >= 1);
      for (const { waiting, owned } of simulation.counts.values()) assert.deepEqual([waiting, owned], [0, 0]);
      const { utilisation, stoppedWhileBusy, cost } = outcomeOf(simulation);
      assert.ok(utilisation > 0 && utilisation <= 1 && cost > 0);
      if (fleet !== 'hpa') assert.equal(stoppedWhileBusy, 0);
    }),
    { numRuns: 60 },
  );
});

test('the scaler wants the runs that wait and that are trained, and stops nobody', () => {
  fc.assert(
    fc.property(worlds, (world) => {
      let answers = 0;
      const fleet = kedaFleet((wanted, { runs, workers }) => {
        answers++;
        const active = runs.filter(({ state }) => state === 'waiting' || state === 'owned').length;
        assert.equal(wanted, active);
        const busy = [...workers].filter(({ state }) => state === 'busy').length;
        assert.ok(wanted >= busy, 'no worker that works is surplus');
      });
      const { stops } = new Simulation(generateDay(60, world.seed), world, fleet).run();
      assert.ok(answers > 1000);
      assert.deepEqual([stops.byScaling, stops.busyByScaling], [0, 0]);
    }),
    { numRuns: 20 },
  );
});

test('a simulation is a function of its seed', () => {
  const of = (seed: bigint, fleet: string) => {
    const simulation = new Simulation(generateDay(300, seed), { ...defaultWorld, seed }, fleets[fleet]!()).run();
    return JSON.stringify([outcomeOf(simulation), simulation.samples]);
  };
  for (const fleet of Object.keys(fleets)) {
    assert.equal(of(5n, fleet), of(5n, fleet));
    assert.notEqual(of(5n, fleet), of(6n, fleet));
  }
});

test('where nothing goes wrong, nothing is computed twice, and with enough workers nobody waits longer than nodes and workers take to start', () => {
  const never = Number.POSITIVE_INFINITY;
  const kinds = [{ ...defaultWorld.kinds[1]!, meanLifeSeconds: never }];
  const world = { ...defaultWorld, meanEvictionSeconds: never, kinds, maxWorkers: 100_000 };
  const outcome = outcomeOf(new Simulation(generateDay(500, 3n), world, kedaFleet()).run());
  assert.deepEqual([outcome.lostHours, outcome.evictions, outcome.spotLosses, outcome.attempts, outcome.unfinished], [0, 0, 0, 500, 0]);
  const { startSeconds } = kinds[0]!;
  const longest = 5 + 10 + 1.4 * startSeconds + world.pullSeconds + world.workerStartSeconds + world.pollSeconds;
  assert.ok(outcome.queueing.max <= longest, `${outcome.queueing.max} of ${longest}`);
});

test('a fleet that follows the CPU stops workers that work, and a fixed one leaves its workers without work', () => {
  const trace = generateDay(1000, 1n);
  const [keda, fixed, hpa] = ['keda', 'fixed', 'hpa'].map((name) => outcomeOf(new Simulation(trace, defaultWorld, fleets[name]!()).run()));
  assert.ok(hpa!.stoppedWhileBusy > 0 && keda!.stoppedWhileBusy === 0 && fixed!.stoppedWhileBusy === 0);
  assert.ok(keda!.queueing.p95 < fixed!.queueing.p95);
});

test('a trace is read line by line, and an error names the line', () => {
  assert.deepEqual(parseTrace('{"at":5,"seconds":2,"project":"p"}\n\n{"at":1,"seconds":3}\n'), [
    { at: 1, seconds: 3, project: 'default' },
    { at: 5, seconds: 2, project: 'p' },
  ]);
  assert.throws(() => parseTrace('{"at":1,"seconds":1}\n{"at":-1,"seconds":1}'), /line 2 .*at is -1/);
  assert.throws(() => parseTrace('{"at":1,"seconds":1}\nnonsense'), /line 2 .*no JSON/);
  assert.throws(() => parseTrace('null'), /line 1/);
  assert.throws(() => parseTrace(''), /1 to 1,000,000 runs/);
});

test('requests are counted on real logs, and the page shows them', { timeout: 120_000 }, async () => {
  const measured = await measureRequests();
  // A look does not cost more because others train more runs, and does not read all that wait.
  assert.deepEqual(
    [measured.look, measured.sweep],
    [
      { fixed: 1, perEntry: 0 },
      { fixed: 1, perEntry: 0 },
    ],
    JSON.stringify(measured),
  );
  assert.ok(measured.waiting.perEntry === 1 && measured.waiting.most < 40, JSON.stringify(measured));
  assert.equal(measured.signsOfLife, 2);
  assert.ok(measured.ownerPoll >= 1 && measured.ownerPoll < 6, JSON.stringify(measured));
  assert.ok(measured.scaler.perEntry >= 1 && measured.scaler.perEntry < 6, JSON.stringify(measured));
  const large = [100, 10_000].map((workers) => largeFigures(workers, measured, defaultWorld));
  assert.equal(large[1]!.queuePages, 11);
  // A hundred times as many workers make at most a hundred times as many requests, and each page of the listing counts.
  for (const what of ['looks', 'sweeps', 'claims'] as const) assert.ok(large[1]![what] <= 100 * 11 * large[0]![what], what);
  assert.ok(large[1]!.looks + large[1]!.sweeps + large[1]!.claims < large[1]!.records);
  assert.ok(large[1]!.scaler < 60 * measured.scaler.perEntry + 10);
  const simulation = new Simulation(generateDay(50, 1n), defaultWorld, kedaFleet()).run();
  const outcomes = [
    { outcome: outcomeOf(simulation), samples: simulation.samples },
    { outcome: { ...outcomeOf(simulation), fleet: '<script>' }, samples: simulation.samples },
  ];
  const page = reportPage({ runs: 50, trace: 'generated', workHours: 1, world: defaultWorld, outcomes, measured, large });
  assert.ok((page.match(/<svg/g) ?? []).length === 4 && !page.includes('NaN') && !/<script|https?:/.test(page));
});
