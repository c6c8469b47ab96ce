import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TensorData } from '#storage/tensor.js';
import { PthTensor, PyNamespace, PyRaw, PyTuple, type PyValue, pickle, writePth, zip, zipOf } from '../../../test/support/pth-writer.js';
import { bytesSource } from '../byte-source.js';
import { NumpyArray } from './pickle-numpy.js';
import { PickleDict, PickleList, PickleNamespace, PickleOpaque, PickleTensor, PickleTuple, type PickleValue } from './pickle-values.js';
import { PthError } from './pth-error.js';
import { openPth } from './read-pth.js';

const real = readFileSync(new URL('./test-data/reference-form.pth', import.meta.url));
const open = (bytes: Uint8Array) => openPth(bytesSource(bytes));

/** Everything in a file as plain values; tensors as [dtype, shape, elements]. */
async function plain(bytes: Uint8Array): Promise<unknown> {
  const file = await open(bytes);
  const walk = async (value: PickleValue, depth: number): Promise<unknown> => {
    if (depth > 8) return 'deeper';
    const pairs = async (map: ReadonlyMap<unknown, PickleValue>) =>
      Object.fromEntries(await Promise.all([...map].map(async ([key, item]) => [String(key), await walk(item, depth + 1)] as const)));
    if (value instanceof PickleTensor)
      return [value.storage.dtype, value.shape, [...((await file.read(value)) as Iterable<unknown> & TensorData)]];
    if (value instanceof PickleDict) return pairs(value.entries);
    if (value instanceof PickleNamespace) return pairs(value.fields);
    if (value instanceof PickleList || value instanceof PickleTuple) return Promise.all(value.items.map((item) => walk(item, depth + 1)));
    return value;
  };
  return walk(file.root, 0);
}

test('a file of torch.save: every type of element, views, settings', async () => {
  assert.deepEqual(await plain(real), {
    model: {
      f32: ['F32', [2, 3], [0, 0.25, 0.5, 0.75, 1, 1.25]],
      transposed: ['F32', [3, 2], [0, 3, 1, 4, 2, 5]],
      part: ['F32', [2, 2], [1, 2, 4, 5]],
      scalar: ['F32', [], [2.5]],
      empty: ['F32', [0, 3], []],
      expanded: ['F32', [2, 2], [7, 7, 7, 7]],
      f64: ['F64', [1], [1 / 3]],
      f16: ['F16', [3], [0x3e00, 0xb400, 0x7bff]],
      bf16: ['BF16', [3], [0x3fc0, 0xbe80, 0x7f62]],
      i64: ['I64', [2], [-(2n ** 53n), 7n]],
      i32: ['I32', [2], [-5, 7]],
      u8: ['U8', [2], [0, 255]],
      bool: ['BOOL', [2], [1, 0]],
      parameter: ['F32', [2], [1, 2]],
    },
    optimizer: {
      state: { 0: { step: ['F32', [], [3]], exp_avg: ['F32', [2], [1, 1]] } },
      param_groups: [{ lr: 1e-3, betas: [0.9, 0.999], params: [0] }],
    },
    epoch: 3,
    scaler: { scale: 65536 },
    args: {
      model: 'vit_tiny',
      lr: 4e-3,
      epochs: 300,
      clip_grad: null,
      model_ema: true,
      cutmix_minmax: [0.2, 0.8],
      big: 2n ** 70n,
      minus: -300,
    },
    model_ema: { f32: ['F32', [2, 3], [0, 1, 2, 3, 4, 5]] },
  });
});

test('files of our own writer, plain and zip64', async () => {
  const value: PyValue = {
    model: new Map<PyValue, PyValue>([['w', new PthTensor('F32', [2, 2], Float32Array.of(1, 2, 3, 4), { parameter: true })]]),
    args: new PyNamespace({ lr: 0.1, names: ['a', 'ü'], none: null }),
    pair: new PyTuple([true, -70_000]),
  };
  const expected = { model: { w: ['F32', [2, 2], [1, 2, 3, 4]] }, args: { lr: 0.1, names: ['a', 'ü'], none: null }, pair: [true, -70_000] };
  assert.deepEqual(await plain(writePth(value)), expected);
  assert.deepEqual(await plain(writePth(value, { zip64: true })), expected);
  assert.deepEqual(await plain(writePth(value, { extra: {} })), expected, 'no byteorder: before torch 2');
});

test('any view of a storage is copied as its strides say', async () => {
  const view = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 5 })), { maxLength: 4 })
    .chain((axes) => fc.tuple(fc.constant(axes), fc.integer({ min: 0, max: 3 })));
  await fc.assert(
    fc.asyncProperty(view, async ([axes, offset]) => {
      const shape = axes.map(([count]) => count);
      const strides = axes.map(([, stride]) => stride);
      const data = Float32Array.from({ length: 80 }, (_, i) => i);
      let expected = [offset];
      for (const [count, stride] of axes) expected = expected.flatMap((at) => Array.from({ length: count }, (_, i) => at + i * stride));
      assert.deepEqual(await plain(writePth(new PthTensor('F32', shape, data, { strides, offset }))), ['F32', shape, expected]);
    }),
    { seed: 7, numRuns: 200 },
  );
});

const refused: [string, Uint8Array, RegExp][] = [
  ['an empty file', new Uint8Array(0), /no zip file/],
  ['text', Buffer.from('hello'), /no zip file/],
  ['the legacy format', Buffer.from('80028a0a6cfc9c46f9206aa850192e80024de9032e', 'hex'), /legacy format/],
  ['a file cut short', real.subarray(0, real.length - 30), /cut short/],
  ['a compressed entry', writePth({}, { method: 8 }), /compression method 8/],
  ['an encrypted entry', writePth({}, { flags: 1 }), /encrypted/],
  ['no pickle', zip([['archive/version', Buffer.from('3')]]), /0 entries <archive>\/data\.pkl/],
  [
    'an entry twice',
    zip([
      ['a/data.pkl', Buffer.from('N.')],
      ['a/data.pkl', Buffer.from('N.')],
    ]),
    /twice/,
  ],
  ['TorchScript', writePth({}, { extra: { 'constants.pkl': Buffer.from('N.') } }), /TorchScript/],
  ['big-endian data', writePth({}, { extra: { byteorder: Buffer.from('big') } }), /little-endian/],
  ['storage that is not there', zipOf(pickle(new PthTensor('F32', [1], Float32Array.of(1))).pickle, new Map()), /not in the file/],
  [
    'storage too short',
    zipOf(pickle(new PthTensor('F32', [1], Float32Array.of(1))).pickle, new Map([['0', new Uint8Array(3)]])),
    /3 bytes for 1/,
  ],
  ['a view beyond its storage', writePth(new PthTensor('F32', [2], Float32Array.of(1, 2), { offset: 1 })), /lies beyond/],
  ['endless repetition', writePth(new PthTensor('F32', [1 << 30, 1 << 20], Float32Array.of(1), { strides: [0, 0] })), /repeats/],
];

const opcodes: [string, string, RegExp][] = [
  ['INST', '(ios\nsystem\n', /opcode 0x69/],
  ['OBJ', '(o', /opcode 0x6f/],
  ['EXT1', '\x82\x01', /opcode 0x82/],
  ['NEXT_BUFFER', '\x97', /opcode 0x97/],
  ['text integers', 'I5\n', /opcode 0x49/],
  ['protocol 1', '\x80\x01N', /protocol 1/],
  ['text beyond the end', 'X\xff\xff\xff\xff', /in the middle/],
  ['a frame beyond belief', '\x95\xff\xff\xff\xff\xff\xff\xff\xff', /a length of/],
  ['an integer of 2^31 bytes', '\x8b\xff\xff\xff\x7f', /an integer of/],
  ['a negative length', '\x8b\xff\xff\xff\xff', /an integer of -1/],
  ['a value without a key', '}(Nu', /without a value/],
  ['pops below a mark', 'N(\x85', /too few values/],
  ['an empty memo', 'h\x05', /memo 5 is empty/],
  ['attributes of a list', ']}b', /attributes/],
  ['two values', 'NN', /2 values/],
  ['a persistent id that is text', 'X\x01\0\0\x000Q', /no storage/],
];

test('what is no file of tensors is refused by name', async () => {
  for (const [name, bytes, why] of refused)
    await assert.rejects(plain(bytes), (error) => error instanceof PthError && why.test(error.message), name);
  for (const [name, text, why] of opcodes) {
    const value = new PyRaw(Buffer.from(text, 'latin1'));
    await assert.rejects(plain(writePth(value)), (error) => error instanceof PthError && why.test(error.message), name);
  }
});

const opaque: [string, string, string][] = [
  ['os.system', 'cos\nsystem\n(X\x02\0\0\0lstR', 'os.system'],
  ['builtins.eval by STACK_GLOBAL', '\x8c\x08builtins\x8c\x04eval\x93', 'builtins.eval'],
  ['a name of the prototype', 'cconstructor\nprototype\n', 'constructor.prototype'],
  ['__proto__', 'c__proto__\n__proto__\n)\x81', '__proto__.__proto__'],
  ['torch.load', 'ctorch\nload\n', 'torch.load'],
  ['a path', 'cpathlib\nPosixPath\n(X\x01\0\0\0aX\x01\0\0\0btR', 'pathlib.PosixPath'],
  ['a class as a value', 'cargparse\nNamespace\n', 'argparse.Namespace'],
  ['a call of a storage', 'ctorch\nFloatStorage\n)R', 'torch.FloatStorage'],
  ['an object with keywords and state', 'cmy\nOptions\n)}\x92}b', 'my.Options'],
  ['a list of its own kind', 'cmy\nList\n)R(K\x01K\x02e', 'my.List'],
  ['a set of protocol 4', '\x8f(K\x01K\x02\x90', 'builtins.set'],
  ['a frozen set', '(K\x01\x91', 'builtins.frozenset'],
  ['what a call of something unknown gives, called again', 'cmy\nmake\n)R)R', 'my.make'],
];

test('what is unknown and no tensor is an opaque value, and nothing is ever called', async () => {
  for (const [title, text, name] of opaque) {
    const { root } = await open(writePth(new PyRaw(Buffer.from(text, 'latin1'))));
    assert.ok(root instanceof PickleOpaque, title);
    assert.equal(root.name, name, title);
  }
  const { root } = await open(writePth(new PyRaw(Buffer.from('}(K\x01K\x01\x86K\x02K\x03K\x04u', 'latin1'))));
  assert.deepEqual([...(root as PickleDict).entries], [[3, 4]], 'a tuple as a key names nothing');
});

test('scalars and arrays of numpy are read, in either byte order, of numpy 1 and 2', async () => {
  const bytes = (values: number[]) => `X${String.fromCharCode(values.length)}\0\0\0${Buffer.from(values).toString('latin1')}`;
  const encoded = (values: number[]) => `c_codecs\nencode\n${bytes(values)}X\x06\0\0\0latin1\x86R`;
  const dtype = (name: string, order = '<') => `cnumpy\ndtype\nX\x02\0\0\0${name}\x89\x88\x87R(K\x03X\x01\0\0\0${order}NNNtb`;
  const read = async (text: string) => (await open(writePth(new PyRaw(Buffer.from(text, 'latin1'))))).root;
  for (const core of ['numpy.core', 'numpy._core']) {
    assert.equal(await read(`c${core}.multiarray\nscalar\n${dtype('i4')}${encoded([7, 1, 0, 0])}\x86R`), 263);
    assert.equal(await read(`c${core}.multiarray\nscalar\n${dtype('i4', '>')}${encoded([0, 0, 1, 7])}\x86R`), 263);
    assert.equal(await read(`c${core}.multiarray\nscalar\n${dtype('b1')}${encoded([1])}\x86R`), true);
    const array = await read(
      `c${core}.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01K\x02K\x03\x86${dtype('u1')}\x88${encoded([1, 2, 3, 4, 5, 6])}tb`,
    );
    assert.ok(array instanceof NumpyArray);
    assert.deepEqual([array.array!.dtype, array.array!.shape, [...(array.array!.data as Uint8Array)]], ['U8', [2, 3], [1, 3, 5, 2, 4, 6]]);
  }
  assert.ok((await read(`cnumpy.core.multiarray\nscalar\n${dtype('M8')}${encoded([1])}\x86R`)) instanceof PickleOpaque);
  await assert.rejects(read(`cnumpy.core.multiarray\nscalar\n${dtype('i4')}${encoded([1])}\x86R`), /a numpy array of shape/);
});

test('tensors of a class of their own, tensors with attributes, and dicts of Python 2 are read', async () => {
  const { pickle: plainPickle, storages } = pickle(new PthTensor('F32', [2], Float32Array.of(1, 2)));
  const text = plainPickle.toString('latin1');
  // The call of _rebuild_tensor_v2 becomes arguments: function, class, arguments, attributes.
  const begin = text.indexOf('ctorch._utils\n_rebuild_tensor_v2\n');
  const global = 'ctorch._utils\n_rebuild_tensor_v2\n';
  const args = text.slice(begin + global.length, text.lastIndexOf('R'));
  const head = text.slice(0, begin);
  for (const type of ['torch.nn.parameter\nBuffer', 'my.lib\nQuantised']) {
    const body = `ctorch._tensor\n_rebuild_from_type_v2\n(${global}c${type}\n${args}}tR.`;
    assert.deepEqual(await plain(zipOf(Buffer.from(head + body, 'latin1'), storages)), ['F32', [2], [1, 2]], type);
  }
  const other = `ctorch._tensor\n_rebuild_from_type_v2\n(cmy\nmake\ncmy\nTensor\n)}tR`;
  const { root } = await open(writePth(new PyRaw(Buffer.from(other, 'latin1'))));
  assert.ok(root instanceof PickleOpaque && root.name === 'my.Tensor');
  const ofPython2 = 'ccollections\nOrderedDict\n](](X\x01\0\0\0aK\x01e](X\x01\0\0\0bK\x02ee\x85R';
  assert.deepEqual(await plain(writePth(new PyRaw(Buffer.from(ofPython2, 'latin1')))), { a: 1, b: 2 });
});

test('containers that hold themselves are data like any other', async () => {
  const { root } = await open(writePth(new PyRaw(Buffer.from(']q\0h\0a', 'latin1'))));
  assert.ok(root instanceof PickleList && root.items[0] === root);
});

test('damaged files give a PthError, or something to read', async () => {
  const own = writePth(
    { model: { w: new PthTensor('F32', [2, 3], new Float32Array(6)) }, args: new PyNamespace({ x: 1 }) },
    { zip64: true },
  );
  const bytes = (size: number) =>
    fc.array(fc.tuple(fc.nat({ max: size - 1 }), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 });
  let read = 0;
  let refusals = 0;
  const check = async (damaged: Uint8Array) => {
    try {
      await plain(damaged);
      read++;
    } catch (error) {
      assert.ok(error instanceof PthError, String((error as Error)?.stack ?? error));
      refusals++;
    }
  };
  for (const file of [real, own]) {
    const structure = file.length - (file === real ? 3000 : 900);
    const damage = fc.oneof(
      bytes(file.length),
      bytes(file.length - structure).map((all) => all.map(([at, b]) => [at + structure, b] as [number, number])),
    );
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        const damaged = Buffer.from(file);
        for (const [at, byte] of changes) damaged[at] = byte;
        await check(damaged);
      }),
      { seed: 11, numRuns: 800 },
    );
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: file.length }), fc.nat({ max: 200 }), (at, length) =>
        check(Buffer.concat([file.subarray(0, at), file.subarray(at + length)])),
      ),
      { seed: 12, numRuns: 200 },
    );
  }
  assert.ok(read > 50 && refusals > 50, `${read} read, ${refusals} refused`);
});

test('damaged pickles give a PthError, or something to read', async () => {
  const whole = pickle({
    model: new Map<PyValue, PyValue>([['w', new PthTensor('F32', [2], Float32Array.of(1, 2))]]),
    args: new PyNamespace({ x: [1, 2.5, 'three'], y: new PyTuple([null]) }),
  });
  const interesting = fc.constantFrom(
    ...Buffer.from('.(012NKMJGX)tea]}suqhrjcRQb\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x93\x94\x95', 'latin1'),
  );
  const piece = fc.record({
    at: fc.nat({ max: whole.pickle.length }),
    remove: fc.nat({ max: 6 }),
    insert: fc.array(fc.oneof(interesting, fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 4 }), async (pieces) => {
      let data = whole.pickle;
      for (const { at, remove, insert } of pieces)
        data = Buffer.concat([data.subarray(0, at), Buffer.from(insert), data.subarray(at + remove)]);
      try {
        await plain(zipOf(data, whole.storages));
      } catch (error) {
        assert.ok(error instanceof PthError, String((error as Error)?.stack ?? error));
      }
    }),
    { seed: 13, numRuns: 2000 },
  );
});
