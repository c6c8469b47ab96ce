/** mix.json: λ, kind and box centre give the boxes, corrected λ, images and targets of the reference. */
import { boxByLambda, type SlotMix, slotMix, softTargets } from '#data/plan/augment/mix-plan.js';
import { loadAddon } from '#native/addon.js';
import { finishRecord } from '#native/pixels/plan-record.js';
import type { FinishSample } from '#native/pixels.js';
import { absolute, type Check, largestDifference, same } from '../../support/checks.js';
import type { FixtureFolder } from '../../support/fixture-folder.js';
import { fillInput } from '../../support/fixtures.js';
import { listed, type ParitySource } from '../parity-case.js';

type Edges = [y0: number, y1: number, x0: number, x1: number];

interface MixFile {
  salt: string;
  shape: [slots: number, channels: number, height: number, width: number];
  classes: number;
  smoothing: number;
  labels: number[];
  cases: {
    name: string;
    mode: 'batch' | 'pair' | 'elem';
    lambda: number[];
    cutmix: boolean[];
    centre_y_x: [number, number][];
    box_y0_y1_x0_x1: (Edges | null)[];
    lambda_used: number[];
  }[];
  box_geometry: {
    height: number;
    width: number;
    lambda: number;
    centre_y_x: [number, number];
    box_y0_y1_x0_x1: Edges;
    lambda_used: number;
  }[];
}

const edgesOf = (box: { top: number; left: number; height: number; width: number }): Edges => [
  box.top,
  box.top + box.height,
  box.left,
  box.left + box.width,
];

const TOLERANCE = 1e-6;

/** Images and targets of one case, as drawn there. */
async function mixChecks(folder: FixtureFolder, name: string): Promise<Check[]> {
  const file = folder.json<MixFile>('mix.json');
  const tensors = folder.tensors('mix.safetensors');
  const one = file.cases.find((found) => found.name === name)!;
  const [slots, , height, width] = file.shape;
  const checks: Check[] = [];
  const mix = Array.from({ length: slots }, (_, slot) => {
    const which = one.mode === 'batch' ? 0 : one.mode === 'pair' ? Math.min(slot, slots - 1 - slot) : slot;
    const [y, x] = one.centre_y_x[which]!;
    const result = slotMix({ lambda: one.lambda[which]!, cutmix: one.cutmix[which]!, centre: { y, x } }, slots - 1 - slot, height, width);
    checks.push(
      same(`box of slot ${slot}`, result?.box ? edgesOf(result.box) : null, one.box_y0_y1_x0_x1[which]),
      absolute(`lambda of slot ${slot}`, result?.lambda ?? 1, one.lambda_used[slot]!, TOLERANCE),
    );
    return result;
  });
  const targets = softTargets(file.labels, mix, file.classes, file.smoothing);
  return [
    ...checks,
    largestDifference('targets', targets, tensors.get(`${name}/targets`).data, TOLERANCE),
    largestDifference('images', await mixedImages(file, mix), tensors.get(`${name}/images`).data, TOLERANCE),
  ];
}

/**
 * The images are floats, our pixels bytes: tables hold each value of a few places of all slots, and the places are gone through in as many
 * rounds as that takes. The canvas is square; what lies outside the image is not looked at.
 */
async function mixedImages({ salt, shape }: MixFile, mix: readonly (SlotMix | null)[]): Promise<Float32Array> {
  const [slots, channels, height, width] = shape;
  if (channels !== 3 || slots > 256) throw new Error(`images of shape ${shape}: 3 channels and at most 256 slots can be mixed`);
  const input = fillInput(salt, shape);
  const result = new Float32Array(input.length);
  const size = Math.max(height, width);
  const samples = mix.map((slot, i): FinishSample => ({ erase: [], mix: slot ?? { lambda: 1, partner: i, box: null } }));
  const records = Float64Array.from(samples.flatMap(finishRecord));
  const perRound = Math.floor(256 / slots);
  for (let first = 0; first < height * width; first += perRound) {
    const last = Math.min(first + perRound, height * width);
    const tables = new Float32Array(3 * 256);
    const pixels = new Uint8Array(slots * 3 * size * size);
    const each = (visit: (from: number, to: number, entry: number) => void) => {
      for (let i = 0; i < slots; i++)
        for (let c = 0; c < 3; c++)
          for (let place = first; place < last; place++) {
            const [y, x] = [Math.floor(place / width), place % width];
            visit((i * 3 + c) * height * width + place, ((i * 3 + c) * size + y) * size + x, 256 * c + i * perRound + place - first);
          }
    };
    each((from, to, entry) => {
      tables[entry] = input[from]!;
      pixels[to] = entry % 256;
    });
    const out = new Float32Array(pixels.length);
    const outcomes = await loadAddon().pixelsFinish(pixels, slots, size, tables, records, out, 2);
    const failed = outcomes.find((outcome) => outcome !== null);
    if (failed) throw new Error(`mixing failed: ${failed}`);
    each((from, to) => {
      result[from] = out[to]!;
    });
  }
  return result;
}

function boxChecks(folder: FixtureFolder): Check[] {
  return folder.json<MixFile>('mix.json').box_geometry.flatMap(({ height, width, lambda, centre_y_x: [y, x], ...expected }, k) => {
    const box = boxByLambda(lambda, { y, x }, height, width);
    return [
      same(`box ${k}`, edgesOf(box), expected.box_y0_y1_x0_x1),
      absolute(`lambda of box ${k}`, 1 - (box.height * box.width) / (height * width), expected.lambda_used, 1e-12),
    ];
  });
}

export const mix: ParitySource = {
  group: 'mix',
  file: /^mix\.json$/,
  companionOf: (file) => (file === 'mix.safetensors' ? 'mix.json' : undefined),
  cases(file, { folder }) {
    const { cases, box_geometry } = folder.json<MixFile>(file);
    return [
      ...listed(file, 'cases', cases).map(({ name }) => ({ name: `mix/${name}`, run: () => mixChecks(folder, name) })),
      ...(box_geometry ? [{ name: 'mix/box geometry', run: () => boxChecks(folder) }] : []),
    ];
  },
};
