// npm run generate: libs/native/kernel-operands.ts from libs/native/kernels.def, the one table of kernels. Reads the form that kernels.def
// describes and refuses everything else, with the row.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const table = join(root, 'libs', 'native', 'kernels.def');
const generated = join(root, 'libs', 'native', 'kernel-operands.ts');

/** The parts of `text` between commas outside of parentheses. */
function parts(text) {
  const found = [];
  let [depth, start] = [0, 0];
  for (let at = 0; at <= text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')') depth--;
    else if (at === text.length || (text[at] === ',' && depth === 0)) {
      found.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  return found;
}

/** What stands between the parenthesis that opens at `from` and its counterpart, and the place behind that. */
function inside(text, from) {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')' && --depth === 0) return { content: text.slice(from + 1, at), end: at + 1 };
  }
  throw new Error(`kernels.def: a parenthesis never closes in ${text.slice(from, from + 60)}`);
}

function slot(text) {
  const [, kind, name] = /^(fp32|own|alike|parameter|gradient|images|targets)\("(\w+)", /.exec(text) ?? [];
  if (kind === undefined) throw new Error(`kernels.def: ${text} is no operand`);
  return {
    name,
    storage: kind === 'own' || kind === 'alike' ? kind : 'fp32',
    gradient: kind === 'gradient',
    optional: /\.(optional|when)\(/.test(text),
  };
}

const slots = (group) => parts(inside(group, 0).content).map(slot);

function rows(text) {
  const code = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/\/\/.*/, ''))
    .join(' ');
  return [...code.matchAll(/\bKERNEL\(/g)].map(({ index }) => {
    const row = inside(code, index + 'KERNEL'.length).content;
    const [name, , inputs, outputs, ...rest] = parts(row);
    if (!/^\w+$/.test(name) || !inputs?.startsWith('(') || !outputs?.startsWith('(') || rest.length > 0) {
      throw new Error(`kernels.def: KERNEL(${row.trim()}) is not KERNEL(name, "attributes", (inputs), (outputs)…)`);
    }
    return { name, inputs: slots(inputs), outputs: slots(outputs) };
  });
}

const kernels = rows(readFileSync(table, 'utf8'));
const text = `/** Generated from kernels.def by scripts/generate-kernels.mjs (npm run generate); never edited. */

export type KernelName = ${kernels.map(({ name }) => `| '${name}'`).join(' ')};

/**
 * How an operand may be stored. fp32: only so. own: also as bf16, whatever the others are. alike: also as bf16, but all such operands of one
 * call have one type.
 */
export type Storage = 'fp32' | 'own' | 'alike';

export interface Slot {
  /** An operation's input, \`y\`, what it saves, \`slope\` (of the GELU that the kernel does), or a parameter whose gradient grows. */
  name: string;
  storage: Storage;
  /** Whether it is a parameter's gradient. */
  gradient: boolean;
  optional: boolean;
}

/** Of every kernel, in its own order. */
export const kernelOperands: Readonly<Record<KernelName, { readonly inputs: readonly Slot[]; readonly outputs: readonly Slot[] }>> = {
${kernels.map(({ name, inputs, outputs }) => `  ${name}: { inputs: ${JSON.stringify(inputs)}, outputs: ${JSON.stringify(outputs)} },`).join('\n')}
};
`;
writeFileSync(generated, text);
const biome = join(root, 'node_modules', '.bin', 'biome');
const { status, stderr, error } = spawnSync(biome, ['format', '--write', generated], { cwd: root, encoding: 'utf8', timeout: 60_000 });
if (status !== 0) throw new Error(`biome could not format ${generated}: ${error?.message ?? stderr}`);
