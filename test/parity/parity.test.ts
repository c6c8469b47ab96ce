/** The parity runner as a command: it passes on the public set, and nothing that is altered, missing or empty gets past it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withoutExecutor } from '../support/executors.js';
import { publicFixtures, withoutFixtures } from '../support/fixtures.js';
import { imagenetTar } from '../support/image-fixtures.js';
import { modelFixture } from './float64-models.js';
import { lossFixture, mixFixture, scheduleFixtures } from './plain-fixtures.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const skip = withoutFixtures || withoutExecutor('native');
const temporary = mkdtempSync(join(tmpdir(), 'dropstream-parity-'));
after(() => rmSync(temporary, { recursive: true, force: true }));

interface Run {
  code: number | null;
  lines: string[];
  failing: string[];
  errors: string;
}

/** The command, as `npm run parity -- …` starts it. */
const parity = (...args: string[]): Promise<Run> => parityBeside(undefined, ...args);

/** With another shared folder than that of the tests. */
async function parityBeside(shared: string | undefined, ...args: string[]): Promise<Run> {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: { parity: string } };
  const [, ...options] = scripts.parity.split(' ');
  const env = { ...process.env, ...(shared !== undefined && { DROPSTREAM_SHARED: shared }) };
  const child = spawn(process.execPath, [...options, ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', (text: string) => (output[name] += text));
  const code = await new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject));
  const lines = output.stdout.trimEnd().split('\n');
  return { code, lines, failing: lines.filter((line) => line.startsWith('FAIL')), errors: output.stderr };
}

/** A folder with copies of some public files, changed. */
function altered(name: string, files: readonly string[], change: (path: (file: string) => string) => void): string {
  const folder = join(temporary, name);
  mkdirSync(folder);
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    // Read and written: copies of read-only files would be read-only.
    writeFileSync(join(folder, file), readFileSync(publicFixtures.path(file)));
  }
  change((file) => join(folder, file));
  return folder;
}

// biome-ignore lint/suspicious/noExplicitAny: any part of any fixture is changed
function editJson(path: string, edit: (json: any) => void): void {
  const json = JSON.parse(readFileSync(path, 'utf8'));
  edit(json);
  writeFileSync(path, JSON.stringify(json));
}

/** Changes the first value of a tensor. */
function editTensor(path: string, name: string, edit: (value: number) => number): void {
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const { dtype, data_offsets } = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes))[name];
  const at = 8 + headerBytes + data_offsets[0];
  if (dtype === 'F64') bytes.writeDoubleLE(edit(bytes.readDoubleLE(at)), at);
  else if (dtype === 'F32') bytes.writeFloatLE(edit(bytes.readFloatLE(at)), at);
  else bytes[at] = edit(bytes[at]!);
  writeFileSync(path, bytes);
}

const closing = /^(\d+) passed, (\d+) failed$/;

test('the public set passes, one line a case and the counts at the end', {
  skip: skip || (imagenetTar ? false : 'no images'),
}, async () => {
  const groups = 'fill,schedules,optimizer,loss,mix,normalisation,augment,models';
  const { code, lines, failing } = await parity('--fixtures', publicFixtures.root, '--only', groups);
  assert.deepEqual(failing, []);
  assert.equal(code, 0);
  const [, passed, failed] = closing.exec(lines.at(-1)!)!;
  assert.equal(failed, '0');
  assert.equal(lines.filter((line) => /^pass {2}\S.* largest error \S+, tolerance \S+, /.test(line)).length, Number(passed));
  for (const group of groups.split(','))
    assert.ok(
      lines.some((line) => line.startsWith(`pass  ${group}/`)),
      group,
    );
});

const vit = ['models/vit.json', 'models/vit.safetensors'];
const mixed = ['mix.json', 'mix.safetensors'];
const schedules = ['schedules/drop_rate.json', 'schedules/learning_rate.json'];

/** What is changed, and how the failing line must begin. */
const alterations: [name: string, files: string[], change: (path: (file: string) => string) => void, failing: RegExp][] = [
  [
    'a learning rate off by 1e-10 of itself',
    schedules,
    (path) => editJson(path('schedules/learning_rate.json'), ({ cases }) => (cases[1].values[3] *= 1 + 1e-10)),
    /^FAIL {2}schedules\/learning_rate lr=.*step 3/,
  ],
  [
    'a value that is null',
    schedules,
    (path) => editJson(path('schedules/drop_rate.json'), ({ cases }) => (cases[2].values[1] = null)),
    /^FAIL {2}schedules\/drop_rate drop_rate=.*step 1/,
  ],
  [
    'a value that is NaN',
    ['loss.json'],
    (path) => writeFileSync(path('loss.json'), readFileSync(path('loss.json'), 'utf8').replace(/"loss": ?[\d.]+/, '"loss": NaN')),
    /^FAIL {2}loss\.json {2}SyntaxError/,
  ],
  [
    'no cases',
    schedules,
    (path) => editJson(path('schedules/drop_rate.json'), (json) => (json.cases = [])),
    /^FAIL {2}schedules\/drop_rate\.json {2}.*no cases/,
  ],
  [
    'a gradient of a loss off by 1e-5',
    ['loss.json'],
    (path) => editJson(path('loss.json'), ({ losses }) => (losses['label_smoothing_0.1'].gradient[4][2] += 1e-5)),
    /^FAIL {2}loss\/label_smoothing_0\.1 .*gradient of sample 4/,
  ],
  [
    'one pixel of a mixed image',
    mixed,
    (path) => editTensor(path('mix.safetensors'), 'pair_both/images', (value) => value + 1e-5),
    /^FAIL {2}mix\/pair_both .*images/,
  ],
  [
    'one logit',
    vit,
    (path) => editTensor(path('models/vit.safetensors'), 'dropout/logits', (value) => value + 1e-3),
    /^FAIL {2}models\/vit dropout .*logits/,
  ],
  [
    'a gradient that is NaN',
    vit,
    (path) => editTensor(path('models/vit.safetensors'), 'eval/grad/blocks.1.norm2.bias', () => Number.NaN),
    /^FAIL {2}models\/vit eval .*gradient of blocks\.1\.norm2\.bias/,
  ],
  [
    'one bit of a dropout mask',
    vit,
    (path) => editTensor(path('models/vit.safetensors'), 'dropout/mask/blocks.1.mlp_drop1', (bit) => 1 - bit),
    /^FAIL {2}models\/vit dropout /,
  ],
  [
    'tensors cut short',
    vit,
    (path) => writeFileSync(path('models/vit.safetensors'), readFileSync(path('models/vit.safetensors')).subarray(0, -8)),
    /^FAIL {2}models\/vit eval /,
  ],
  ['tensors missing', vit, (path) => rmSync(path('models/vit.safetensors')), /^FAIL {2}models\/vit eval .*ENOENT/],
  [
    'their description missing',
    [...vit, 'loss.json'],
    (path) => rmSync(path('models/vit.json')),
    /^FAIL {2}models\/vit\.safetensors .*models\/vit\.json/,
  ],
  [
    'a file that no group knows',
    ['loss.json'],
    (path) => writeFileSync(path('models.json'), '{}'),
    /^FAIL {2}models\.json {2}no group knows/,
  ],
];

for (const [name, files, change, failing] of alterations) {
  test(`altered: ${name}`, { skip }, async () => {
    const run = await parity('--fixtures', altered(name.replaceAll(/\W/g, '-'), files, change));
    assert.notEqual(run.code, 0);
    assert.ok(
      run.failing.some((line) => failing.test(line)),
      run.failing.join('\n') || run.lines.join('\n'),
    );
    assert.ok(Number(closing.exec(run.lines.at(-1)!)?.[2]) >= 1, run.lines.at(-1));
  });
}

test('altered: one pixel of a strip, of the hash, or of a photograph', { skip: skip || (imagenetTar ? false : 'no images') }, async () => {
  const folder = join(temporary, 'pixels');
  cpSync(join(publicFixtures.root, 'augment'), join(folder, 'augment'), { recursive: true });
  const json = join(folder, 'augment', 'augment.json');
  rmSync(json);
  writeFileSync(json, readFileSync(publicFixtures.path('augment/augment.json')));
  editJson(json, ({ randaugment, crop_resize, jpeg_decode }) => {
    randaugment.Rotate[1].rows[2].sha256 = randaugment.Rotate[1].rows[3].sha256;
    randaugment.Solarize = randaugment.SolarizeIncreasing.splice(1, 1); // other arguments at the same magnitudes
    crop_resize[3].left += 1;
    jpeg_decode[5].rgb_sha256 = jpeg_decode[4].rgb_sha256;
  });
  const { code, failing } = await parity('--fixtures', folder, '--images', imagenetTar!, '--only', 'augment');
  assert.equal(code, 1);
  const starts = ['randaugment ops/owl_Rotate', 'randaugment ops/owl_Solarize', 'crop_resize crop/03.png', 'jpeg_decode '];
  assert.equal(failing.length, starts.length, failing.join('\n'));
  for (const start of starts)
    assert.ok(
      failing.some((line) => line.startsWith(`FAIL  augment/${start}`)),
      start,
    );
});

test('an empty folder, a folder of other things, none at all, a group that is not there, wrong options', { skip }, async () => {
  const empty = altered('empty', [], () => {});
  const other = altered('other', [], (path) => writeFileSync(path('README.md'), 'not a fixture'));
  for (const folder of [empty, other]) {
    const { code, lines } = await parity('--fixtures', folder);
    assert.equal(code, 1);
    assert.ok(lines.some((line) => /^FAIL .*nothing in this folder was compared/.test(line)));
    assert.equal(lines.at(-1), '0 passed, 1 failed');
  }
  assert.notEqual((await parity('--fixtures', join(temporary, 'nowhere'))).code, 0);
  const absent = await parity(
    '--fixtures',
    altered('only-loss', ['loss.json'], () => {}),
    '--only',
    'loss,mix',
  );
  assert.equal(absent.code, 1);
  assert.match(absent.failing.join(), /^FAIL {2}mix {2}this folder has no fixtures of group mix$/);
  const none = await parityBeside(other);
  assert.equal(none.code, 2);
  assert.match(none.errors, /^--fixtures: a folder is needed, because there is no .*other.fixtures$/m);
  for (const args of [
    ['--fixtures', empty, '--only', 'los'],
    ['--fixtures', empty, '--engine', 'gpu'],
    ['--fixtures', empty, '--salt', '1'],
  ]) {
    const { code, errors } = await parity(...args);
    assert.equal(code, 2);
    assert.match(errors, /--fixtures DIR/);
  }
});

test('what an engine cannot run is skipped with the reason, and not counted as passed', { skip }, async () => {
  const folder = altered('full', ['models_full/vit_tiny@96.json', 'models_full/logits.safetensors', 'loss.json'], () => {});
  const { code, lines } = await parity('--fixtures', folder, '--engine', 'cpu', '--only', 'models_full,loss');
  assert.ok(lines.some((line) => /^skip {2}models_full\/vit_tiny@96 {2}a full-size model takes minutes/.test(line)));
  assert.equal(code, 0);
  const alone = await parity('--fixtures', folder, '--engine', 'cpu', '--only', 'models_full');
  assert.deepEqual([alone.code, alone.lines.at(-1)], [1, '0 passed, 1 failed']);
});

test('other salts, sizes, rates and steps, from plain arithmetic written a second time', { skip: withoutExecutor('native') }, async () => {
  for (const salt of ['elsewhere-7', 'a/b/c']) {
    const folder = join(temporary, salt.replaceAll('/', '-'));
    mkdirSync(join(folder, 'schedules'), { recursive: true });
    for (const [name, fixture] of Object.entries(scheduleFixtures(salt))) {
      writeFileSync(join(folder, 'schedules', `${name}.json`), JSON.stringify(fixture));
    }
    writeFileSync(join(folder, 'loss.json'), JSON.stringify(lossFixture(salt)));
    const { json, tensors } = mixFixture(salt);
    writeFileSync(join(folder, 'mix.json'), JSON.stringify(json));
    writeFileSync(join(folder, 'mix.safetensors'), tensors);
    const { code, failing, lines } = await parity('--fixtures', folder);
    assert.deepEqual(failing, []);
    assert.equal(code, 0, lines.join('\n'));
    assert.ok(lines.filter((line) => line.startsWith('pass')).length > 25);
  }
});

test('other salts, sizes, rates and masks of every family, from the float64 machine', { skip: withoutExecutor('native') }, async () => {
  const folder = join(temporary, 'other-models');
  mkdirSync(join(folder, 'models'), { recursive: true });
  const configs = [
    { family: 'vit', dim: 32, depth: 2, heads: 2, patch: 4, image: 20, classes: 7 },
    { family: 'mixer', dim: 16, depth: 4, patch: 8, image: 40, classes: 3 },
    { family: 'swin', dim: 8, depths: [2, 1], heads: [1, 2], image: 56, classes: 5 },
    { family: 'convnext', depths: [1, 2], dims: [8, 12], image: 24, classes: 6 },
  ];
  for (const [k, config] of configs.entries()) {
    const settings = { config, batch: 3 + k, rate: 0.3 + 0.1 * k, smoothing: 0.05 * k, lambda: 0.35 + 0.1 * k };
    const { json, tensors } = modelFixture(`elsewhere/${k}`, settings);
    writeFileSync(join(folder, 'models', `${config.family}_other.json`), JSON.stringify(json));
    writeFileSync(join(folder, 'models', `${config.family}_other.safetensors`), tensors);
  }
  const { code, failing, lines } = await parity('--fixtures', folder);
  assert.deepEqual(failing, []);
  assert.equal(code, 0, lines.join('\n'));
  assert.equal(lines.at(-1), '10 passed, 0 failed');
});
