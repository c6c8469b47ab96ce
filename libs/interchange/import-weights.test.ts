import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { encodeSafetensors } from '#storage/safetensors.js';
import type { Tensor } from '#storage/tensor.js';
import { fillParameter, fixtureJson, withoutFixtures } from '../../test/support/fixtures.js';
import { PthTensor, PyNamespace, type PyValue, writePth } from '../../test/support/pth-writer.js';
import { bytesSource } from './byte-source.js';
import { type ExportDtype, exportWeights } from './export-weights.js';
import { float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './half-floats.js';
import { importWeights } from './import-weights.js';
import { InterchangeError } from './interchange-error.js';
import { MismatchError } from './mismatch-error.js';
import type { Convention } from './names/timm-names.js';
import { openWeightFile } from './weight-file.js';

const f32 = (shape: readonly number[], ...values: number[]) => new PthTensor('F32', shape, Float32Array.from(values));
const dict = (entries: Record<string, PyValue>) => new Map<PyValue, PyValue>(Object.entries(entries));
const open = (bytes: Uint8Array, query = {}) => openWeightFile(bytesSource(bytes), query);

const expected = [
  { name: 'layers.0.norm.weight', shape: [2] },
  { name: 'head.weight', shape: [3, 2] },
  { name: 'head.bias', shape: [3] },
];
const weights = {
  'layers.0.norm.weight': f32([2], 1, 2),
  'head.weight': f32([3, 2], 1, 2, 3, 4, 5, 6),
  'head.bias': f32([3], 7, 8, 9),
};

async function mismatchesOf(bytes: Uint8Array, options: { dropHead?: boolean } = {}, query = {}): Promise<MismatchError> {
  const file = await open(bytes, query);
  return importWeights(file, { expected, ...options }).then(
    () => assert.fail('it was taken'),
    (error) => {
      assert.ok(error instanceof MismatchError, String(error));
      return error;
    },
  );
}

test("the reference's form: key, buffers passed over, order and names of the model", async () => {
  const ema = { ...weights, 'head.bias': f32([3], 0, 0, 0) };
  const buffers = {
    'layers.0.attn.relative_position_index': new PthTensor('I64', [1], BigInt64Array.of(3n)),
    'layers.0.attn_mask': f32([1], -100),
  };
  const bytes = writePth({
    model: dict({ ...buffers, ...weights }),
    optimizer: { state: {}, param_groups: [] },
    epoch: 7,
    args: new PyNamespace({ model: 'swin_tiny' }),
    model_ema: dict(ema),
  });
  const found = await importWeights(await open(bytes), { expected });
  assert.deepEqual(
    found.tensors.map(({ name, shape, data }) => [name, shape, [...data]]),
    [
      ['layers.0.norm.weight', [2], [1, 2]],
      ['head.weight', [3, 2], [1, 2, 3, 4, 5, 6]],
      ['head.bias', [3], [7, 8, 9]],
    ],
  );
  const averaged = await importWeights(await open(bytes, { modelKey: 'model_ema' }), { expected });
  assert.deepEqual([...averaged.tensors[2]!.data], [0, 0, 0]);
  // `module` where there is no `model`; the file itself where there is neither.
  for (const file of [writePth({ module: dict(weights) }), writePth(dict(weights)), writePth({ ...weights, epoch: 3 })])
    assert.equal((await importWeights(await open(file), { expected })).tensors.length, 3);
  await assert.rejects(open(writePth({ state: dict(weights), epoch: 3 })), /holds no tensors by name; keys of the file: "state", "epoch"/);
  await assert.rejects(open(writePth({ model: 3 })), /key "model": it holds no dict/);
  await assert.rejects(open(Buffer.from('neither of both')), /no zip file/);
});

test('a prefix selects and is taken off; where it is forgotten, the error says so', async () => {
  const wrapped = Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [`module.${name}`, tensor]));
  const bytes = writePth({ model: dict({ ...wrapped, 'other.weight': f32([1], 0) }) });
  const found = await importWeights(await open(bytes, { modelPrefix: 'module.' }), { expected });
  assert.equal(found.tensors.length, 3);
  assert.deepEqual(found.notices, ['1 of 4 names do not begin with "module."']);
  const { message } = await mismatchesOf(writePth({ model: dict(wrapped) }));
  assert.match(message, /every name begins with "module\.": give --model-prefix module\./);
});

test('every mismatch stands in one table', async () => {
  const bytes = writePth({
    model: dict({
      'layers.0.norm.weight': new PthTensor('I32', [2], Int32Array.of(1, 2)),
      'head.weight': f32([2, 2], 1, 2, 3, 4),
      extra: f32([], 1),
    }),
  });
  const error = await mismatchesOf(bytes);
  assert.deepEqual(error.mismatches, [
    { name: 'layers.0.norm.weight', problem: 'type', found: 'I32', expected: 'F32 F64 F16 BF16' },
    { name: 'head.weight', problem: 'shape', found: '[2, 2]', expected: '[3, 2]' },
    { name: 'head.bias', problem: 'missing', found: undefined, expected: '[3]' },
    { name: 'extra', problem: 'unexpected', found: '[]', expected: undefined },
  ]);
  assert.equal(
    error.message,
    [
      'the file is not of this model, 4 parameters differ:',
      '  PARAMETER             PROBLEM     IN THE FILE  IN THE MODEL',
      '  layers.0.norm.weight  type        I32          F32 F64 F16 BF16',
      '  head.weight           shape       [2, 2]       [3, 2]',
      '  head.bias             missing     -            [3]',
      '  extra                 unexpected  []           -',
    ].join('\n'),
  );
});

test('a head of other classes is dropped only where asked, and nothing else is', async () => {
  const other = { ...weights, 'head.weight': f32([2, 2], 1, 2, 3, 4), 'head.bias': f32([2], 1, 2) };
  assert.equal((await mismatchesOf(writePth({ model: dict(other) }))).mismatches.length, 2);
  const found = await importWeights(await open(writePth({ model: dict(other) })), { expected, dropHead: true });
  assert.deepEqual(
    found.tensors.map(({ name }) => name),
    ['layers.0.norm.weight'],
  );
  assert.match(found.notices.join(), /head\.weight, head\.bias/);
  const broken = { ...other, 'layers.0.norm.weight': f32([3], 1, 2, 3) };
  assert.deepEqual(
    (await mismatchesOf(writePth({ model: dict(broken) }), { dropHead: true })).mismatches.map(({ name }) => name),
    ['layers.0.norm.weight'],
  );
});

test('the committed file of torch.save imports, half floats exactly', async () => {
  const file = await open(readFileSync(new URL('./pth/test-data/reference-form.pth', import.meta.url)));
  const names = ['f32', 'transposed', 'f16', 'bf16', 'f64', 'parameter'];
  const shapes = file.entries.filter(({ name }) => names.includes(name)).map(({ name, shape }) => ({ name, shape }));
  const { tensors } = await importWeights(
    { ...file, entries: file.entries.filter(({ name }) => names.includes(name)) },
    { expected: shapes },
  );
  const values = Object.fromEntries(tensors.map(({ name, data }) => [name, [...data]]));
  assert.deepEqual(values.f16, [1.5, -0.25, 65504]);
  assert.deepEqual(values.bf16, [1.5, -0.25, 1.765625 * 2 ** 127]);
  assert.deepEqual(values.f64, [Math.fround(1 / 3)]);
  assert.deepEqual(values.transposed, [0, 3, 1, 4, 2, 5]);
});

const small = ['vit_tiny', 'mixer_t32', 'swin_femto', 'convnext_atto', 'convnext_mini'];

test('export and import give the same weights, for each family, names and type', { skip: withoutFixtures }, async () => {
  const models = fixtureJson<Record<string, { params: Record<string, number[]> }>>('tables/parameters.json');
  for (const model of small) {
    const shapes = Object.entries(models[model]!.params).map(([name, shape]) => ({ name, shape }));
    const ours: Tensor[] = shapes.map(({ name, shape }) => ({
      name,
      shape,
      dtype: 'F32',
      data: fillParameter('interchange', name, shape) as Float32Array<ArrayBuffer>,
    }));
    for (const [convention, dtype] of [
      ['reference', 'float32'],
      ['timm', 'float16'],
      ['timm', 'bfloat16'],
    ] as [Convention, ExportDtype][]) {
      const bytes = Buffer.concat(encodeSafetensors(exportWeights(ours, model, convention, dtype)));
      const back = await importWeights(await open(bytes), { expected: shapes });
      for (const [k, { name, data }] of back.tensors.entries()) {
        const values = ours[k]!.data as Float32Array;
        assert.equal(name, ours[k]!.name);
        const rounded = dtype === 'float32' ? values : dtype === 'float16' ? float16ToFloat32(float32ToFloat16(values)) : undefined;
        if (rounded) assert.deepEqual(data, rounded, `${model} ${name}`);
        else assert.deepEqual(float32ToBfloat16(data as Float32Array), float32ToBfloat16(values), `${model} ${name}`);
      }
    }
  }
});

test('a value that float16 cannot hold is refused by name', () => {
  const tensor: Tensor = { name: 'norm.weight', dtype: 'F32', shape: [2], data: Float32Array.of(1, 1e5) };
  assert.throws(() => exportWeights([tensor], 'vit_tiny', 'timm', 'float16'), /norm\.weight has the value 100000, float16 ends at 65504/);
  assert.deepEqual(
    exportWeights([{ ...tensor, data: Float32Array.of(1, Number.POSITIVE_INFINITY) }], 'vit_tiny', 'timm', 'float16')[0]!.data,
    Uint16Array.of(0x3c00, 0x7c00),
  );
});

test('what a failed download leaves is called what it is', async () => {
  for (const [text, why] of [
    ['', /it is empty/],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n', /git-lfs pointer.*git lfs pull/],
    ['<!doctype html><html>Access denied</html>', /an HTML or XML page/],
    ['<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', /an HTML or XML page/],
    ['{"metadata":{},"weight_map":{}}', /it is JSON; an index/],
  ] as const)
    await assert.rejects(
      openWeightFile(bytesSource(Buffer.from(text))),
      (error) => error instanceof InterchangeError && why.test(error.message),
    );
});

/** A safetensors file of any element types, with zeros for elements. */
function zeros(entries: Record<string, { dtype: string; shape: readonly number[]; bytes: number }>): Buffer {
  let end = 0;
  const header = Object.entries(entries).map(([name, { dtype, shape, bytes }]) => {
    const begin = end;
    end += bytes;
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  return Buffer.concat([Buffer.from(BigUint64Array.of(BigInt(json.length)).buffer), json, Buffer.alloc(end)]);
}

test('what is no weight by its type is passed over by name, beside weights in either format', async () => {
  const floats = Object.fromEntries(
    expected.map(({ name, shape }) => [name, { dtype: 'F32', shape, bytes: 4 * shape.reduce((a, b) => a * b, 1) }]),
  );
  for (const [dtype, bytes] of [
    ['BOOL', 2],
    ['U8', 2],
    ['I8', 2],
    ['U16', 4],
    ['I16', 4],
    ['U32', 8],
    ['I32', 8],
    ['U64', 16],
    ['I64', 16],
    ['F8_E4M3', 2],
    ['F8_E5M2', 2],
    ['C64', 16],
  ] as const) {
    const file = await open(zeros({ extra: { dtype, shape: [2], bytes }, ...floats }));
    const { tensors, notices } = await importWeights(file, { expected });
    assert.deepEqual(
      tensors.map(({ name }) => name),
      expected.map(({ name }) => name),
    );
    assert.deepEqual(notices, [`no weights by their types or shapes, passed over: "extra" (${dtype})`]);
    // In the place of a parameter it is an error, with its type.
    const instead = zeros({ ...floats, 'head.bias': { dtype, shape: [3], bytes: (3 * bytes) / 2 } });
    assert.deepEqual((await mismatchesOf(instead)).mismatches, [
      { name: 'head.bias', problem: 'type', found: dtype, expected: 'F32 F64 F16 BF16' },
    ]);
  }
  const counter = new PthTensor('I64', [], BigInt64Array.of(3n));
  const found = await importWeights(await open(writePth({ model: dict({ ...weights, num_batches_tracked: counter }) })), { expected });
  assert.deepEqual(
    [found.tensors.length, found.notices],
    [3, ['no weights by their types or shapes, passed over: "num_batches_tracked" (I64)']],
  );
  const empty = await importWeights(await open(zeros({ ...floats, cache: { dtype: 'F32', shape: [0, 3], bytes: 0 } })), { expected });
  assert.deepEqual([empty.tensors.length, empty.notices], [3, ['no weights by their types or shapes, passed over: "cache" (no elements)']]);
  // A float that the model does not know may be a weight of another model.
  const other = await mismatchesOf(zeros({ ...floats, extra: { dtype: 'F16', shape: [2], bytes: 4 } }));
  assert.deepEqual(other.mismatches, [{ name: 'extra', problem: 'unexpected', found: '[2]', expected: undefined }]);
  // The hint about a prefix looks at weights alone.
  const wrapped = Object.fromEntries(Object.entries(floats).map(([name, entry]) => [`module.${name}`, entry]));
  assert.match((await mismatchesOf(zeros({ step: { dtype: 'I64', shape: [], bytes: 8 }, ...wrapped }))).message, /--model-prefix module\./);
});
