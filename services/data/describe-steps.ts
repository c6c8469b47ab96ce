/** Describes the transforms of an image in order, each as a readable text, for previews. */

import type { SlotMix } from '#data/plan/augment/mix-plan.js';
import type { SamplePlan } from '#data/plan/augment/sample-plan.js';
import type { Geometry, PixelOp } from '#native/pixels.js';

export function describeSteps(
  { render, erase }: SamplePlan,
  mix: SlotMix | null,
  size: number,
  smoothed: { own: string; partner: string },
): string[] {
  return [
    geometryStep(render.geometry, size),
    ...(render.flip ? ['flip left to right'] : []),
    ...render.ops.map(opStep),
    ...erase.map(({ top, left, height, width, mode }) => `erase ${width} x ${height} at (${left}, ${top}) with ${ERASE[mode]}`),
    ...(mix ? [mixStep(mix, smoothed)] : []),
  ];
}

const ERASE = { pixel: 'noise', rand: 'one random colour', const: 'the mean colour' } as const;

function geometryStep(geometry: Geometry, size: number): string {
  switch (geometry.kind) {
    case 'resized_crop':
      return `crop ${geometry.width} x ${geometry.height} at (${geometry.left}, ${geometry.top}), resize to ${size} (${geometry.interpolation})`;
    case 'padded_crop':
      return `pad by ${geometry.padding}, crop ${size} x ${size} at (${geometry.left - geometry.padding}, ${geometry.top - geometry.padding})`;
    case 'resize_center_crop':
      return `resize to ${geometry.resizeWidth} x ${geometry.resizeHeight} (${geometry.interpolation}), crop the centre ${size} x ${size}`;
    case 'warp':
      return `resize to ${size} x ${size} without keeping the proportions (${geometry.interpolation})`;
    case 'none':
      return `keep unchanged, ${size} x ${size}`;
  }
}

function opStep({ op, argument, interpolation }: PixelOp): string {
  const how = interpolation ? ` (${interpolation})` : '';
  switch (op) {
    case 'AutoContrast':
    case 'Equalize':
    case 'Invert':
      return op;
    case 'Rotate':
      return `Rotate by ${short(argument)} degrees${how}`;
    case 'Posterize':
      return `Posterize to ${argument} bits`;
    case 'Solarize':
      return `Solarize from ${argument} on`;
    case 'SolarizeAdd':
      return `SolarizeAdd ${argument} below 128`;
    case 'TranslateX':
    case 'TranslateY':
      return `${op} by ${short(argument)} pixels${how}`;
    default:
      return `${op} by ${short(argument)}${how}`;
  }
}

function mixStep({ lambda, box }: SlotMix, { own, partner }: { own: string; partner: string }): string {
  const shares = `target ${short(lambda)} ${own}, ${short(1 - lambda)} ${partner}`;
  if (!box) return `mixup with its partner; ${shares}`;
  return `cutmix: ${box.width} x ${box.height} at (${box.left}, ${box.top}) from its partner; ${shares}`;
}

const short = (value: number): string => String(Number(value.toFixed(3)));
