/**
 * Parameter names: ours are the reference's; timm 1.0 names ConvNeXt and Swin differently. Pure functions of names and shapes, each
 * table one-to-one, so that they hold for any depth and width. ViT and Mixer have the same names in both.
 */

export type Family = 'vit' | 'mixer' | 'swin' | 'convnext';
export type Convention = 'reference' | 'timm';

export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A rule rewrites names that begin like `from` (and go on with a dot or end there); `S`, `B`, `J` stand for equal numbers on both sides. */
interface Rule {
  readonly reference: string;
  readonly timm: string;
}

const rules: Readonly<Record<Family, readonly Rule[]>> = {
  vit: [],
  mixer: [],
  swin: [{ reference: 'head', timm: 'head.fc' }],
  convnext: [
    { reference: 'downsample_layers.0.J', timm: 'stem.J' },
    { reference: 'downsample_layers.S.J', timm: 'stages.S.downsample.J' },
    { reference: 'stages.S.B.dwconv', timm: 'stages.S.blocks.B.conv_dw' },
    { reference: 'stages.S.B.norm', timm: 'stages.S.blocks.B.norm' },
    { reference: 'stages.S.B.pwconv1', timm: 'stages.S.blocks.B.mlp.fc1' },
    { reference: 'stages.S.B.pwconv2', timm: 'stages.S.blocks.B.mlp.fc2' },
    { reference: 'stages.S.B.gamma', timm: 'stages.S.blocks.B.gamma' },
    { reference: 'norm', timm: 'head.norm' },
    { reference: 'head', timm: 'head.fc' },
  ],
};

/** ConvNeXts whose MLP timm builds of 1×1 convolutions instead of linear layers; ours are linear. */
const convolutionMlp: ReadonlySet<string> = new Set(['convnext_atto', 'convnext_femto', 'convnext_pico']);
const mlpWeight = /^stages\.\d+\.blocks\.\d+\.mlp\.fc[12]\.weight$/;

/** The family that a list of parameters is of, in either convention. */
export function familyOf(names: Iterable<string>): Family {
  for (const name of names) {
    if (/^(downsample_layers\.|stem\.\d|stages\.)/.test(name)) return 'convnext';
    if (name.startsWith('layers.')) return 'swin';
    if (/^stem\.proj\.|^blocks\.\d+\.mlp_tokens\./.test(name)) return 'mixer';
  }
  return 'vit';
}

/** Whose names a file of a family has. ViT and Mixer: 'reference', since both are equal. */
export function conventionOf(family: Family, names: readonly string[]): Convention {
  if (family === 'convnext') return names.some((name) => /^stem\.|^stages\.\d+\.(blocks|downsample)\./.test(name)) ? 'timm' : 'reference';
  if (family !== 'swin') return 'reference';
  // A merge ends a stage there and begins one in timm: the first stage has one, or the last.
  if (names.some((name) => name.startsWith('layers.0.downsample.'))) return 'reference';
  return names.some((name) => /^head\.fc\.|^layers\.\d+\.downsample\./.test(name)) ? 'timm' : 'reference';
}

/**
 * One of our parameters as timm has it.
 * @param model its name, since some ConvNeXts hold their MLPs as convolutions: [out, in] becomes [out, in, 1, 1], the elements stay
 */
export function toTimm(model: string, family: Family, { name, shape }: NamedShape): NamedShape {
  const renamed = family === 'swin' ? shiftMerge(rename('swin', name, 'reference', 'timm'), 1) : rename(family, name, 'reference', 'timm');
  const asConvolution = convolutionMlp.has(model) && mlpWeight.test(renamed) && shape.length === 2;
  return { name: renamed, shape: asConvolution ? [...shape, 1, 1] : shape };
}

/** A parameter of timm as ours. Weights of 1×1 convolutions in an MLP lose the two ones, whatever the model. */
export function fromTimm(family: Family, { name, shape }: NamedShape): NamedShape {
  const renamed = family === 'swin' ? shiftMerge(rename('swin', name, 'timm', 'reference'), -1) : rename(family, name, 'timm', 'reference');
  const isConvolution = family === 'convnext' && mlpWeight.test(name) && shape.length === 4 && shape[2] === 1 && shape[3] === 1;
  return { name: renamed, shape: isConvolution ? shape.slice(0, 2) : shape };
}

function rename(family: Family, name: string, from: Convention, to: Convention): string {
  for (const rule of rules[family]) {
    const found = patternOf(rule[from]).exec(name);
    if (!found) continue;
    const numbers = found.groups ?? {};
    const start = rule[to].replaceAll(/\b[SBJ]\b/g, (letter) => numbers[letter]!);
    return start + name.slice(found[0].length);
  }
  return name;
}

const patterns = new Map<string, RegExp>();

function patternOf(text: string): RegExp {
  let pattern = patterns.get(text);
  if (pattern === undefined) {
    const source = text.replaceAll('.', '\\.').replaceAll(/\b[SBJ]\b/g, (letter) => `(?<${letter}>\\d+)`);
    pattern = new RegExp(`^${source}(?=\\.|$)`);
    patterns.set(text, pattern);
  }
  return pattern;
}

/** Swin: the merge after stage S there is the merge before stage S + 1 in timm. */
const shiftMerge = (name: string, by: 1 | -1): string =>
  name.replace(/^layers\.(\d+)\.downsample\./, (_, stage: string) => `layers.${Number(stage) + by}.downsample.`);
