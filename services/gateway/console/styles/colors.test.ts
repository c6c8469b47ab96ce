// Whether lines can be told apart, by readers who see all colours and by those who do not.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

type Triple = readonly [number, number, number];

const css = readFileSync(new URL('tokens.css', import.meta.url), 'utf8');
const [day = '', night = ''] = css.split('@media (prefers-color-scheme: dark)');

/** Linear red, green and blue of a variable. */
function colorOf(theme: string, name: string): Triple {
  const [, hex = ''] = new RegExp(`--${name}: #([0-9a-f]{6});`).exec(theme) ?? [];
  assert.equal(hex.length, 6, name);
  const linear = (at: number): number => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [linear(0), linear(2), linear(4)];
}

const times = (matrix: readonly Triple[], [r, g, b]: Triple): Triple =>
  matrix.map(([x, y, z]) => Math.min(1, Math.max(0, x * r + y * g + z * b))) as unknown as Triple;

/** What is seen without one kind of cones (Machado, Oliveira and Fernandes 2009, severity 1). */
const sights: Record<string, readonly Triple[]> = {
  'all colours': [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

/** CIE L*a*b* under D65. */
function lab([r, g, b]: Triple): Triple {
  const f = (t: number): number => (t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 / 116) * t + 16 / 116);
  const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
  const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
  const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const difference = (a: Triple, b: Triple): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
const contrast = (a: number, b: number): number => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
const luminance = ([r, g, b]: Triple): number => 0.2126 * r + 0.7152 * g + 0.0722 * b;

/** A difference of 2.3 is just noticeable; thin lines need more. */
const LEAST = 20;
const lines = [1, 2, 3, 4, 5, 6];

for (const [theme, text] of Object.entries({ light: day, dark: night })) {
  for (const [sight, matrix] of Object.entries(sights))
    test(`lines differ in the ${theme} theme, seen with ${sight}`, () => {
      const seen = lines.map((line) => lab(times(matrix, colorOf(text, `line-${line}`))));
      for (const [a, b] of lines.flatMap((_, i) => lines.slice(i + 1).map((__, k) => [i, i + 1 + k] as const)))
        assert.ok(difference(seen[a]!, seen[b]!) >= LEAST, `lines ${a + 1} and ${b + 1}: ${difference(seen[a]!, seen[b]!).toFixed(1)}`);
    });
  test(`lines have the contrast of text with their ground in the ${theme} theme`, () => {
    for (const line of lines)
      for (const ground of ['card', 'bg'])
        assert.ok(contrast(luminance(colorOf(text, `line-${line}`)), luminance(colorOf(text, ground))) >= 4.5, `line ${line} on ${ground}`);
  });
}
