import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Violations } from '#errors/errors.js';
import { MixupMode } from '#protocol/dropstream/v1/data.js';
import { mixupModes } from '#spec/words.js';
import { mix } from '../../../../test/parity/groups/mix.js';
import { assertPublic } from '../../../../test/parity/public-cases.js';
import { withoutFixtures } from '../../../../test/support/fixtures.js';
import { canonicalJson, type Json } from '../canonical-json.js';
import { type MixOptions, mixKey, planMix, resolveMix, softTargets } from './mix-plan.js';

test('λ, kind and centre give the reference’s boxes, corrected λ and targets', { skip: withoutFixtures }, async () => {
  await assertPublic(mix);
});

function mixOf(options: Partial<MixOptions>, inputSize = 32) {
  const violations = new Violations();
  const mix = resolveMix({ cutmixMinmax: [], ...options }, inputSize, violations);
  violations.throwIfAny();
  return mix;
}

test('batch mode shares one draw, pair mode one a pair, elem mode none', () => {
  const lambdas = (mode: (typeof mixupModes.words)[number], first = 0) =>
    planMix(mixOf({ mixupMode: mixupModes.fromWord(mode), cutmix: 0 }), mixKey(3n), 1, first, 8, 32).map((slot) => slot?.lambda);
  assert.equal(new Set(lambdas('batch')).size, 1);
  assert.deepEqual(lambdas('pair'), lambdas('pair').toReversed());
  assert.equal(new Set(lambdas('pair')).size, 4);
  assert.equal(new Set(lambdas('elem')).size, 8);
  assert.deepEqual(lambdas('elem', 4).slice(0, 4), lambdas('elem').slice(4)); // a slot's draw is its position's, whatever the batch
});

test('partners face each other and λ is what the box leaves', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(MixupMode.BATCH, MixupMode.PAIR, MixupMode.ELEM),
      fc.nat(1000),
      fc.integer({ min: 1, max: 16 }),
      fc.boolean(),
      (mixupMode, epoch, half, range) => {
        const mix = mixOf({ mixupMode, ...(range ? { cutmixMinmax: [0.2, 0.8] } : {}) });
        const plan = planMix(mix, mixKey(9n), epoch, 0, 2 * half, 32);
        plan.forEach((slot, i) => {
          if (!slot) return;
          assert.equal(slot.partner, 2 * half - 1 - i);
          assert.equal(slot.lambda, Math.fround(slot.lambda));
          if (!slot.box) return;
          const { top, left, height, width } = slot.box;
          assert.ok(top >= 0 && left >= 0 && top + height <= 32 && left + width <= 32 && height > 0 && width > 0);
          assert.equal(slot.lambda, Math.fround(1 - (height * width) / 1024));
        });
      },
    ),
  );
});

test('nothing is mixed where alphas or probability are 0; an odd batch is refused in every mode', () => {
  for (const options of [{ mixup: 0, cutmix: 0 }, { mixupProb: 0 }])
    assert.deepEqual(planMix(mixOf(options), mixKey(1n), 0, 0, 3, 32), [null, null, null]);
  for (const mixupMode of [MixupMode.BATCH, MixupMode.PAIR, MixupMode.ELEM])
    assert.throws(() => planMix(mixOf({ mixupMode }), mixKey(1n), 0, 0, 3, 32), /even/);
});

test('known plans do not change between versions or machines', () => {
  const plans = [MixupMode.BATCH, MixupMode.PAIR, MixupMode.ELEM].map((mixupMode) =>
    Array.from({ length: 20 }, (_, epoch) => planMix(mixOf({ mixupMode, mixup: 0.3 }), mixKey(8n), epoch, 64, 16, 224)),
  );
  const text = canonicalJson([plans, planMix(mixOf({ cutmixMinmax: [0.2, 0.8] }), mixKey(8n), 1, 0, 8, 32)] as unknown as Json);
  assert.equal(createHash('sha256').update(text).digest('hex'), KNOWN_PLANS);
});

test('options outside their ranges are all named', () => {
  const violations = new Violations();
  const wrong = { mixup: -1, cutmix: NaN, cutmixMinmax: [], mixupProb: 2, mixupSwitchProb: -0.1, mixupMode: 9 as MixupMode, smoothing: 1 };
  resolveMix(wrong, 32, violations, 'mix.');
  assert.deepEqual(
    violations.list.map((violation) => violation.field),
    ['mix.mixup', 'mix.cutmix', 'mix.mixup_prob', 'mix.mixup_switch_prob', 'mix.mixup_mode', 'mix.smoothing'],
  );
  for (const cutmixMinmax of [[0.5], [0.5, 0.5], [0.8, 0.2], [-0.1, 0.5], [0, 2], [0.1, 0.2, 0.3], [0.5, 0.51]])
    assert.throws(() => mixOf({ cutmixMinmax }, 32), /cutmix_minmax/, String(cutmixMinmax));
});

test('smoothing applies without mixing, and rows sum to one', () => {
  assert.deepEqual([...softTargets([1], [null], 4, 0.2)], [0.05, 0.85, 0.05, 0.05].map(Math.fround));
  const targets = softTargets([0, 2], [{ lambda: 0.25, partner: 1, box: null }, null], 3, 0);
  assert.deepEqual([...targets], [0.25, 0, 0.75, 0, 0, 1]);
});

/** A change means other mixes for the same plan: raise PLAN_SEMANTICS_VERSION with it. */
const KNOWN_PLANS = 'd7fcf282161d1f345f4f49060da0b6d5891b0bf0e648ba9ac1fb2a089362a6c3';
