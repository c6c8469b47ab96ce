/** Names that every object has by itself, and `__proto__`, wherever a name comes from outside: each is refused or taken as it is, and none means anything. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { Identities } from '#auth/identities.js';
import type { Identity } from '#auth/identity.js';
import { readIdentityFile } from '#auth/identity-file.js';
import { checkMethod, checkProjects, policy } from '#auth/policy.js';
import { parseOwnJson } from '#bounds/own-json.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { Manifest } from '#data/manifest/manifest.js';
import { InvalidManifest } from '#data/manifest/manifest-header.js';
import { parseLocation } from '#data/manifest/manifest-location.js';
import { InvalidArgument, NotFound, PermissionDenied, Violations } from '#errors/errors.js';
import { matchName } from '#errors/resource-names.js';
import { defaultImageSize, UnknownModel } from '#nn/models/registry.js';
import { CreateRunRequest } from '#protocol/dropstream/v1/trainer.js';
import { withoutProtoKeys } from '#rpc/callers-fault.js';
import { defineConfig } from '#rpc/config.js';
import { parseUpdateMask } from '#rpc/field-mask.js';
import * as words from '#spec/words.js';
import { s3Keys } from '#storage/s3-credentials.js';
import { decodeSafetensors, encodeSafetensors } from '#storage/safetensors.js';
import { isDtype } from '#storage/tensor.js';
import { readContexts, serverOf } from '../services/cli/contexts.js';
import { datasetKind } from '../services/cli/data-sets.js';
import { runFilter, runOrder } from '../services/trainer/api/run-filter.js';
import { checkLabels } from '../services/trainer/run/labels.js';

const members = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'isPrototypeOf',
  '__defineGetter__',
  '__lookupGetter__',
];
const folder = mkdtempSync(join(tmpdir(), 'dropstream-members-'));
after(() => rmSync(folder, { recursive: true }));

const config = defineConfig('test', {
  store: { schema: z.string().default(''), help: 'where' },
  loud: { schema: z.boolean().default(false), help: 'whether', flag: true },
});

for (const name of members) {
  test(`${name} is no option, no enum's word, no model, no data set's format, no element type and no field`, () => {
    const dashed = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    for (const flag of [name, dashed, `no-${dashed}`])
      for (const argv of [[`--${flag}`, 'x'], [`--${flag}=x`], [`--${flag}`]])
        assert.throws(() => config.parse({ argv }), InvalidArgument, argv.join(' '));
    for (const [word, one] of Object.entries(words))
      if (typeof one === 'object' && 'parse' in one) assert.equal(one.parse(name), undefined, word);
    assert.equal(words.isRunSpecEnum(name), false);
    assert.throws(() => defaultImageSize(name), UnknownModel);
    assert.throws(() => datasetKind(name), InvalidArgument);
    assert.equal(isDtype(name), false);
    assert.throws(() => parseUpdateMask([name], ['rate', 'mode']), InvalidArgument);
    assert.throws(() => runOrder(name), InvalidArgument);
    assert.throws(() => runFilter(`${name} = "x"`), InvalidArgument);
    assert.equal(matchName('run', `projects/${name}/runs/${name}`)?.project, /^[a-z0-9-]+$/.test(name) ? name : undefined);
  });

  test(`${name} in a configuration file is refused`, () => {
    const path = join(folder, `${name}.json`);
    for (const content of [`{"${name}": "x"}`, `{"test": {"${name}": {"store": "x"}}}`]) {
      writeFileSync(path, content);
      assert.throws(() => config.parse({ argv: ['--config', path] }), InvalidArgument, content);
    }
  });

  test(`${name} in a file of identities is refused, or is a name like any other`, () => {
    const path = join(folder, `identities-${name}.json`);
    const principal = '{"roles": {"p": "viewer"}, "uris": ["spiffe://x/y"], "tokens": []}';
    const inside = principal.replace('"uris"', `"${name}": {}, "uris"`);
    const refused = [`{"version": 1, "principals": {}, "${name}": {}}`, `{"version": 1, "principals": {"a": ${inside}}}`];
    // A principal may be called constructor, and then has what the file says and nothing else.
    const named = `{"version": 1, "principals": {"${name}": ${principal}}}`;
    const role = `{"version": 1, "principals": {"a": ${principal.replace('"p"', `"${name}"`)}}}`;
    for (const content of [...refused, ...(name === 'constructor' ? [] : [named, role])]) {
      writeFileSync(path, content);
      assert.throws(() => readIdentityFile(path), InvalidArgument, content);
    }
    if (name !== 'constructor') return;
    writeFileSync(path, role);
    const identities = new Identities({ path });
    after(() => identities.close());
    const identity = identities.identify({
      authorization: [],
      certificate: () => ({ uris: ['spiffe://x/y'], fingerprint: '' }),
    }) as Identity;
    const method = 'dropstream.v1.TrainerService/GetRun';
    checkProjects(identity, method, ['constructor']);
    for (const project of members.filter((other) => other !== 'constructor'))
      assert.throws(() => checkProjects(identity, method, [project]), PermissionDenied);
  });

  test(`${name} in the file of contexts and in that of the store's keys is refused, and no context has that name`, () => {
    const path = join(folder, `contexts-${name}.json`);
    const read = (content: string) => {
      writeFileSync(path, content);
      return readContexts(path);
    };
    assert.throws(() => read(`{"version": 1, "contexts": {}, "${name}": {}}`), InvalidArgument);
    assert.throws(() => read(`{"version": 1, "contexts": {"a": {"data": "x:1", "${name}": "y"}}}`), InvalidArgument);
    if (name !== 'constructor') assert.throws(() => read(`{"version": 1, "contexts": {"${name}": {"data": "x:1"}}}`), InvalidArgument);
    writeFileSync(path, '{"version": 1, "contexts": {"a": {"data": "x:1"}}}');
    assert.throws(() => serverOf(name, { env: { DROPSTREAM_CONTEXTS: path }, cwd: folder }), NotFound);
    writeFileSync(path, `{"accessKey": "a", "secretKey": "b", "${name}": {"sessionToken": "c"}}`, { mode: 0o600 });
    assert.throws(() => s3Keys({ DROPSTREAM_S3_CREDENTIALS_FILE: path })(), /must be a JSON file/);
  });

  test(`${name} is no method that the policy knows`, () => {
    assert.equal(policy.get(name), undefined);
    assert.throws(() => checkMethod(undefined, name), PermissionDenied);
  });

  test(`a label ${name} is refused or kept as it is`, () => {
    // The generated code cannot make an object with a key __proto__ either, so the key is put in its place.
    const place = 'x'.repeat(name.length);
    const request = Buffer.from(CreateRunRequest.encode(CreateRunRequest.fromPartial({ labels: { [place]: 'v' } })).finish());
    const bytes = Buffer.concat([
      request.subarray(0, request.indexOf(place)),
      Buffer.from(name),
      request.subarray(request.indexOf(place) + place.length),
    ]);
    const decode = withoutProtoKeys((bytes: Buffer) => CreateRunRequest.decode(bytes));
    if (name === '__proto__') {
      assert.throws(() => decode(bytes), TypeError);
      return;
    }
    const { labels } = decode(bytes);
    assert.deepEqual(Object.entries(labels), [[name, 'v']]);
    const violations = new Violations();
    checkLabels(violations, labels);
    assert.equal(violations.empty, name === 'constructor');
    const filter = /^[a-z]+$/.test(name) ? runFilter(`labels.${name} = ""`)! : undefined;
    const run = { id: 'r', state: 1, model: 'm', createMs: 0, priority: 0 };
    assert.equal(filter?.({ ...run, labels: {} }) ?? true, true, 'a label that a run does not have is empty');
    assert.equal(filter?.({ ...run, labels }) ?? false, false);
  });

  test(`${name} in the JSON of a manifest and of its place is refused`, () => {
    const json = Buffer.from(`{"${name}": {"format": "dropstream.manifest.v1"}, "format": "dropstream.manifest.v1", "kind": "${name}"}`);
    const padded = Buffer.concat([json, Buffer.alloc((8 - ((12 + json.length) % 8)) % 8, ' ')]);
    const head = Buffer.from('DSMANIF1\0\0\0\0', 'latin1');
    head.writeUInt32LE(padded.length, 8);
    assert.throws(() => new Manifest(Buffer.concat([head, padded]), 'f'.repeat(64)), InvalidManifest);
    for (const content of [`{"${name}": "/x"}`, `{"${name}": {"path": "/x"}}`, `{"path": "/x", "${name}": 1}`])
      assert.notEqual(parseLocation(Buffer.from(content)).damage, undefined, content);
  });

  test(`a tensor ${name} is one like any other`, () => {
    const file = Buffer.concat(encodeSafetensors([{ name, dtype: 'F32', shape: [1], data: Float32Array.of(7) }]));
    const { tensors } = decodeSafetensors(file);
    assert.deepEqual(
      tensors.map((one) => [one.name, one.data[0]]),
      [[name, 7]],
    );
  });
}

test('classes with such names are classes like any other', async () => {
  const images = join(folder, 'images');
  const image = readFileSync(new URL('./fuzz/corpus/tiny.jpg', import.meta.url));
  for (const [i, name] of members.entries()) {
    mkdirSync(join(images, name), { recursive: true });
    writeFileSync(join(images, name, `${i}.jpg`), image);
  }
  const indexed = await indexDataset(await AllowedRoots.open([folder]), images, { split: '' });
  const manifest = new Manifest(indexed.bytes, indexed.sha256);
  assert.deepEqual([...manifest.classes].sort(), [...members].sort());
  assert.equal(manifest.samples, members.length);
});

test('JSON from people has no key __proto__, at any depth and however it is written', () => {
  for (const text of ['{"__proto__": 1}', '{"a": [{"\\u005f_proto__": {}}]}']) assert.throws(() => parseOwnJson(text), SyntaxError);
  assert.deepEqual(parseOwnJson('{"constructor": ["__proto__"]}'), { constructor: ['__proto__'] });
});
