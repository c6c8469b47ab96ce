/** Sums over the rows of all samples, in a fixed order, that are added to gradients of parameters. */
import { type DeviceCall, type DeviceKernel, FLAT, flatGroups, type OperandReference, shader } from './kernel.js';

export interface ColumnSums {
  label: string;
  /** What the expressions read. */
  operands: Readonly<Record<string, OperandReference>>;
  /** Per sample. In the expressions, `ROWS` and `COLUMNS` stand for these two. */
  rows: number;
  columns: number;
  /** For every gradient: the term of row `r` and column `c` in WGSL. */
  sums: Readonly<Record<string, string>>;
  declarations?: string;
}

/** More rows than this are summed in blocks first. It is constant, because the order of the sums depends on it. */
const ROWS_PER_BLOCK = 64;

/** gradient[c] += Σ over rows: blocks of rows side by side, and then the blocks in order. */
export function columnSums(call: DeviceCall, { label, operands, rows, columns, sums, declarations = '' }: ColumnSums): DeviceKernel {
  const most = call.chunkSamples * rows;
  const names = Object.keys(sums);
  const direct = most <= ROWS_PER_BLOCK;
  const [ROWS, COLUMNS] = ['call.sizes.x', 'call.sizes.y'];
  const blocks = (n: number) => Math.ceil((n * rows) / ROWS_PER_BLOCK);
  const ends = names.map((name) => (direct ? `store_d_${name}(c, load_d_${name}(c) + sum_${name});` : `data_p_${name}[i] = sum_${name};`));
  const first = shader(call, {
    label,
    operands: {
      ...operands,
      ...Object.fromEntries(names.map((name) => (direct ? [`d_${name}`, `out.${name}`] : [`p_${name}`, `scratch.${name}`]))),
    },
    workgroupSize: 64,
    workgroups: (n) => flatGroups((direct ? Math.sign(n) : blocks(n)) * columns),
    sizes: [rows, columns],
    declarations: FLAT + declarations,
    body: `
  let i = flat_index(id, groups);
  let c = i % ${COLUMNS};
  let begin = i / ${COLUMNS} * ${ROWS_PER_BLOCK}u;
  let end = min(begin + ${ROWS_PER_BLOCK}u, call.n * ${ROWS});
  if (begin >= end) { return; }
${names.map((name) => `  var sum_${name} = 0.0;`).join('\n')}
  for (var r = begin; r < end; r++) {
${names.map((name) => `    sum_${name} += ${sums[name]!.replaceAll('ROWS', ROWS).replaceAll('COLUMNS', COLUMNS)};`).join('\n')}
  }
  ${ends.join('\n  ')}`,
  });
  if (direct) return { dispatches: [first] };
  const second = sumOfPartials(call, {
    label: `${label} (blocks)`,
    gradients: names,
    elements: columns,
    rows,
    rowsPerPartial: ROWS_PER_BLOCK,
  });
  return { dispatches: [first, second], scratch: Object.fromEntries(names.map((name) => [name, blocks(call.chunkSamples) * columns])) };
}

/** gradient[e] += Σ over p of scratch[p · elements + e], p ascending; a partial is the sum of `rowsPerPartial` rows of all samples. The scratch operands have the names of the gradients. */
export function sumOfPartials(
  call: DeviceCall,
  spec: { label: string; gradients: readonly string[]; elements: number; rows: number; rowsPerPartial: number },
) {
  const { label, gradients, elements, rows, rowsPerPartial } = spec;
  const each = elements % 4 === 0 ? 4 : 1;
  const [type, four] = each === 4 ? ['vec4f', '4'] : ['f32', ''];
  return shader(call, {
    label,
    operands: Object.fromEntries(
      gradients.flatMap((name) => [[`p_${name}`, `scratch.${name}`] as const, [`d_${name}`, `out.${name}`] as const]),
    ),
    workgroupSize: 64,
    workgroups: (n) => flatGroups((Math.sign(n * rows) * elements) / each),
    sizes: [elements / each, rows],
    declarations: FLAT,
    body: `
  let e = flat_index(id, groups);
  if (e >= call.sizes.x) { return; }
  let count = (call.n * call.sizes.y + ${rowsPerPartial - 1}u) / ${rowsPerPartial}u;
${gradients.map((name) => `  var sum_${name} = ${type}(0.0);`).join('\n')}
  for (var p = 0u; p < count; p++) {
${gradients.map((name) => `    sum_${name} += load${four}_p_${name}(p * call.sizes.x + e);`).join('\n')}
  }
${gradients.map((name) => `  store${four}_d_${name}(e, load${four}_d_${name}(e) + sum_${name});`).join('\n')}`,
  });
}

/** Dispatches of several kernels, in order. */
export function together(...kernels: readonly DeviceKernel[]): DeviceKernel {
  return {
    dispatches: kernels.flatMap(({ dispatches }) => dispatches),
    scratch: Object.assign({}, ...kernels.map(({ scratch }) => scratch)),
  };
}
