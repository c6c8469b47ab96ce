/**
 * The shader that finishes images: normalise → erase → mix with the partner's image, which is erased but not mixed. It computes the values of
 * libs/native/pixels/finish.cc in the same order. Only the noise of erasing is computed in fp32 instead of fp64, since WGSL has no fp64.
 */
import { NORMAL_CENTRE, NORMAL_MIDDLE } from '#random/normal.js';
import type { Shader } from './bindings.js';
import { ERASE_MODES, ERASE_WORDS, MIX_BLEND, MIX_BOX, ROW_WORDS, ROWS_AT } from './finish-words.js';
import { PHILOX } from './kernels/shared.js';

const THREADS = 64;
/** Values that one thread finishes. */
const EACH = 4;

export type FinishBound = 'own' | 'partners' | 'plan' | 'images';

/** Bytes of the uniform `pass`. */
export const PASS_BYTES = 32;

/** The words of `pass`: rows [first, first + samples) of the micro-batch become the images of the chunk, if they and their partners are on these pages. */
interface FinishPass {
  first: number;
  rowsPerPage: number;
  ownPage: number;
  partnerPage: number;
  /** Side of the images. */
  size: number;
}

export const passWords = ({ first, rowsPerPage, ownPage, partnerPage, size }: FinishPass) =>
  Uint32Array.of(first, rowsPerPage, ownPage, partnerPage, size);

export const finishGroups = (imageFloats: number, samples: number): readonly [x: number, y: number] => [
  Math.ceil(imageFloats / (EACH * THREADS)),
  samples,
];

const polynomial = (coefficients: readonly number[]) =>
  coefficients.slice(0, -1).reduceRight((sum, coefficient) => `(${sum} * x + ${float(coefficient)})`, float(coefficients.at(-1)!));
const float = (value: number) => `${value}f`;
const quotient = (name: string, [above, below]: readonly [readonly number[], readonly number[]]) =>
  `fn ${name}(x: f32) -> f32 { return ${polynomial(above)} / ${polynomial(below)}; }`;

/**
 * `normal(word)`: the x with Φ(x) = (word + ½) / 2³² (libs/random/normal.ts). The logarithm is computed here, because WGSL leaves open how exact its
 * own is. No tail of a word is so small that it needs the third quotient.
 */
const NORMAL = `
${quotient('centre', NORMAL_CENTRE)}
${quotient('middle', NORMAL_MIDDLE)}
fn logarithm(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let large = select(0u, 1u, (bits & 0x7fffffu) > 0x3504f3u); // mantissa above the root of 2
  let exponent = i32((bits >> 23u) + large) - 127;
  let f = bitcast<f32>((bits & 0x7fffffu) | ((127u - large) << 23u)) - 1.0;
  let s = f / (f + 2.0);
  let z = s * s;
  let series = 2.0 * s * (1.0 + z * (0.33333333f + z * (0.2f + z * (0.14285714f + z * (0.11111111f + z * 0.09090909f)))));
  return f32(exponent) * 0.69314718f + series;
}
fn normal(word: u32) -> f32 {
  let q = (f32(bitcast<i32>(word ^ 0x80000000u)) + 0.5) * 0x1p-32f;
  if (abs(q) <= 0.425) { return q * centre(0.180625 - q * q); }
  let tail = (f32(select(~word, word, q < 0.0)) + 0.5) * 0x1p-32f;
  let v = middle(sqrt(-logarithm(tail)) - 1.6);
  return select(v, -v, q < 0.0);
}
`;

/** "eras": the purpose of libs/native/pixels/noise.h. */
const PURPOSE = '0x65726173u';

/** One shader for all sizes of images. */
export const finishShader: Shader<FinishBound> = {
  label: 'finish',
  bindings: [
    { bound: 'own', access: 'read' },
    { bound: 'partners', access: 'read' },
    { bound: 'plan', access: 'read' },
    { bound: 'images', access: 'read_write' },
  ],
  code: `struct Pass { first: u32, rows_per_page: u32, own_page: u32, partner_page: u32, size: u32 }
@group(0) @binding(0) var<uniform> pass_words: Pass;
@group(0) @binding(1) var<storage, read> own: array<u32>; // four bytes a word
@group(0) @binding(2) var<storage, read> partners: array<u32>;
@group(0) @binding(3) var<storage, read> plan: array<u32>;
@group(0) @binding(4) var<storage, read_write> images: array<f32>;
${PHILOX}${NORMAL}
fn own_byte(i: u32) -> u32 { return (own[i >> 2u] >> (8u * (i & 3u))) & 0xffu; }
fn partner_byte(i: u32) -> u32 { return (partners[i >> 2u] >> (8u * (i & 3u))) & 0xffu; }

// One value of the normalised, erased image of a row. A later box covers an earlier one.
fn erased(row: u32, byte: u32, c: u32, y: u32, x: u32) -> f32 {
  let at = ${ROWS_AT}u + ${ROW_WORDS}u * row;
  for (var k = plan[at + 2u]; k > 0u; k--) {
    let box = plan[at + 1u] + ${ERASE_WORDS}u * (k - 1u);
    let dy = y - plan[box];
    let dx = x - plan[box + 1u];
    let height = plan[box + 2u];
    let width = plan[box + 3u];
    if (dy >= height || dx >= width) { continue; }
    let mode = plan[box + 4u];
    if (mode == ${ERASE_MODES.const}u) { return 0.0; }
    let element = select(c, (c * height + dy) * width + dx, mode == ${ERASE_MODES.pixel}u);
    let words = philox(vec4u(element >> 2u, plan[box + 7u], plan[at], ${PURPOSE}), vec2u(plan[box + 5u], plan[box + 6u]));
    return normal(words[element & 3u]);
  }
  return bitcast<f32>(plan[256u * c + byte]);
}

fn finished(row: u32, partner: u32, i: u32) -> f32 {
  let size = pass_words.size;
  let area = size * size;
  let c = i / area;
  let y = i % area / size;
  let x = i % size;
  let at = ${ROWS_AT}u + ${ROW_WORDS}u * row;
  let kind = plan[at + 4u];
  let pasted = kind == ${MIX_BOX}u && y - plan[at + 5u] < plan[at + 7u] && x - plan[at + 6u] < plan[at + 8u];
  // Own value and partner's, as far as they are needed. A loop, since its body is a lot of code.
  var values = vec2f(0.0);
  let end = select(1u, 2u, pasted || kind == ${MIX_BLEND}u);
  for (var side = select(0u, 1u, pasted); side < end; side++) {
    let image = select(row, partner, side == 1u);
    let place = image % pass_words.rows_per_page * 3u * area + i;
    let value = erased(image, select(own_byte(place), partner_byte(place), side == 1u), c, y, x);
    values = select(vec2f(value, values.y), vec2f(values.x, value), side == 1u);
  }
  if (kind == ${MIX_BLEND}u) { return values.x * bitcast<f32>(plan[at + 9u]) + values.y * bitcast<f32>(plan[at + 10u]); }
  return select(values.x, values.y, pasted);
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = pass_words.first + id.y;
  let at = ${ROWS_AT}u + ${ROW_WORDS}u * row;
  let partner = select(plan[at + 3u], row, plan[at + 4u] == 0u);
  if (row / pass_words.rows_per_page != pass_words.own_page || partner / pass_words.rows_per_page != pass_words.partner_page) { return; }
  let floats = 3u * pass_words.size * pass_words.size;
  for (var i = ${EACH}u * id.x; i < min(${EACH}u * id.x + ${EACH}u, floats); i++) {
    images[id.y * floats + i] = finished(row, partner, i);
  }
}
`,
};
