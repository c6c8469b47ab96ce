/** Encodes plans as numbers for the addon. plan-record.h defines the layout; the addon checks every field. */
import type { Box, FinishPlan, FinishSample, Geometry, Interpolation, PixelOpName, RenderPlan, RenderSource } from './plan-types.js';
import type { PngLayout } from './png-scanlines.js';

const FORMATS: readonly RenderSource['format'][] = ['jpeg', 'png', 'rgb', 'gray'];
const GEOMETRIES: readonly Geometry['kind'][] = ['none', 'resized_crop', 'padded_crop', 'resize_center_crop', 'warp'];
const OPS: readonly PixelOpName[] = [
  'AutoContrast',
  'Equalize',
  'Invert',
  'Rotate',
  'Posterize',
  'Solarize',
  'SolarizeAdd',
  'Color',
  'Contrast',
  'Brightness',
  'Sharpness',
  'ShearX',
  'ShearY',
  'TranslateX',
  'TranslateY',
];
const INTERPOLATIONS: readonly Interpolation[] = ['bilinear', 'bicubic'];
const ERASE_MODES: readonly FinishSample['erase'][number]['mode'][] = ['const', 'rand', 'pixel'];

function indexIn<T extends string>(names: readonly T[], name: T, field: string): number {
  const index = names.indexOf(name);
  if (index < 0) throw new TypeError(`${field} "${name}": must be one of ${names.join(', ')}`);
  return index;
}

const interpolationIndex = (name: Interpolation) => indexIn(INTERPOLATIONS, name, 'interpolation');

/** top, left, height, width, padding, resize width, resize height, interpolation */
function geometryFields(geometry: Geometry): number[] {
  switch (geometry.kind) {
    case 'none':
      return [0, 0, 0, 0, 0, 0, 0, 0];
    case 'warp':
      return [0, 0, 0, 0, 0, 0, 0, interpolationIndex(geometry.interpolation)];
    case 'resized_crop':
      return [geometry.top, geometry.left, geometry.height, geometry.width, 0, 0, 0, interpolationIndex(geometry.interpolation)];
    case 'padded_crop':
      return [geometry.top, geometry.left, 0, 0, geometry.padding, 0, 0, 0];
    case 'resize_center_crop': {
      const { top, left, resizeWidth, resizeHeight, interpolation } = geometry;
      return [top, left, 0, 0, 0, resizeWidth, resizeHeight, interpolationIndex(interpolation)];
    }
  }
}

/** `png`: the layout whose scanlines replace the file's bytes. Throws TypeError for an unknown name. */
export function renderRecord(source: RenderSource, plan: RenderPlan, png: PngLayout | undefined): number[] {
  const kind = indexIn(GEOMETRIES, plan.geometry.kind, 'geometry');
  const record = [
    indexIn(FORMATS, source.format, 'format'),
    png ? png.width : source.width,
    png ? png.height : source.height,
    ...(png ? [png.bitDepth, png.colorType, Number(png.interlaced)] : [0, 0, 0]),
    kind,
    ...geometryFields(plan.geometry),
    Number(plan.flip),
    ...plan.fill,
    plan.ops.length,
  ];
  for (const { op, argument, interpolation } of plan.ops) {
    record.push(indexIn(OPS, op, 'op'), argument, interpolationIndex(interpolation ?? 'bilinear'));
  }
  return record;
}

const boxFields = ({ top, left, height, width }: Box) => [top, left, height, width];
const NO_BOX: Box = { top: 0, left: 0, height: 0, width: 0 };

export function finishRecord({ erase, mix, slot }: FinishSample, row: number): number[] {
  const record = [slot ?? row, erase.length, mix.lambda, mix.partner, Number(mix.box !== null), ...boxFields(mix.box ?? NO_BOX)];
  for (const box of erase) {
    record.push(...boxFields(box), indexIn(ERASE_MODES, box.mode, 'erase mode'), box.key[0], box.key[1], box.box);
  }
  return record;
}

/** [3, 256]: (x/255 − mean)/std in float64, rounded once to float32. */
export function normalisationTables({ mean, std }: Pick<FinishPlan, 'mean' | 'std'>): Float32Array {
  const tables = new Float32Array(768);
  for (let c = 0; c < 3; c++) {
    if (!(std[c]! > 0) || !Number.isFinite(mean[c]!))
      throw new TypeError(`mean is ${mean[c]} and std is ${std[c]}: both must be finite, and std above 0`);
    for (let x = 0; x < 256; x++) tables[256 * c + x] = (x / 255 - mean[c]!) / std[c]!;
  }
  return tables;
}
