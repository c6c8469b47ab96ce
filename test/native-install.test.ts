/** The install script in a copy of what the package contains, with a PATH that has neither a compiler nor CMake: nothing is compiled here. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { engineInfo } from '#native/addon.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const native = join(root, 'libs', 'native');
const built = join(native, 'build', 'Release', 'dropstream.node');

async function packageCopy(t: TestContext): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'dropstream-install-'));
  t.after(() => rm(copy, { recursive: true, force: true }));
  const filter = (path: string) => relative(native, path).split('/')[0] !== 'build';
  await cp(native, join(copy, 'libs', 'native'), { recursive: true, filter });
  await mkdir(join(copy, 'scripts'));
  await cp(join(root, 'scripts', 'native'), join(copy, 'scripts', 'native'), { recursive: true });
  await copyFile(join(root, 'scripts', 'build-native.mjs'), join(copy, 'scripts', 'build-native.mjs'));
  await copyFile(join(root, 'package.json'), join(copy, 'package.json'));
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  await mkdir(join(copy, 'empty'));
  return copy;
}

interface Outcome {
  code: number;
  output: string;
}
async function install(copy: string, env: Record<string, string> = {}): Promise<Outcome> {
  const options = { cwd: copy, env: { PATH: join(copy, 'empty'), ...env }, timeout: 60_000 };
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [join('scripts', 'build-native.mjs')], options);
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  }
}

async function evaluate(copy: string, expression: string): Promise<string> {
  const script = `import * as prebuilt from './scripts/native/prebuilt.mjs'; import * as sources from './scripts/native/sources.mjs'; console.log(${expression});`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: copy, timeout: 60_000 });
  return stdout.trim();
}

/** Puts a package of this machine's addon where `npm run build:prebuilt` would, changed by `change`. */
async function offer(copy: string, change: (made: Record<string, string>) => Record<string, string> = (made) => made): Promise<string> {
  const folder = join(copy, 'prebuilt', await evaluate(copy, 'prebuilt.platformName()'));
  await mkdir(folder, { recursive: true });
  await copyFile(built, join(folder, 'dropstream.node'));
  const sha256 = createHash('sha256')
    .update(await readFile(built))
    .digest('hex');
  const made = change({ contents: await evaluate(copy, 'sources.hashContents()'), sha256 });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ dropstream: made }));
  return folder;
}

const taken = (copy: string) => readFile(join(copy, 'libs', 'native', 'build', 'Release', 'dropstream.node'));

test('a prebuilt addon that contains these sources is taken without a compiler, and stays', async (t) => {
  const copy = await packageCopy(t);
  await offer(copy);
  const first = await install(copy);
  assert.equal(first.code, 0, first.output);
  assert.match(first.output, /took the prebuilt addon for \S+ in \d+ ms/);
  assert.deepEqual(await taken(copy), await readFile(built));
  const second = await install(copy);
  assert.deepEqual([second.code, second.output.trim()], [0, 'dropstream: native addon is up to date (prebuilt)']);
  assert.ok(engineInfo().available.length > 0);
});

test('without a prebuilt addon and a compiler, the first line says both', async (t) => {
  const copy = await packageCopy(t);
  const { code, output } = await install(copy);
  assert.equal(code, 1);
  assert.match(output.trim(), /^dropstream: no prebuilt addon for [\w-]+ contains these sources, and CMake was not found\.\n/);
  assert.match(output, /apt-get install cmake g\+\+/);
  const refused = await install(copy, { DROPSTREAM_NATIVE: 'prebuilt' });
  assert.equal(refused.code, 1);
  assert.match(refused.output.trim(), /^dropstream: no prebuilt addon for [\w-]+ contains these sources$/);
});

test('a prebuilt addon of other sources, a damaged one and one that does not load are not taken, and the reason is said', async (t) => {
  const copy = await packageCopy(t);
  await offer(copy, (made) => ({ ...made, contents: 'others' }));
  assert.match((await install(copy)).output, /contains these sources \(\S+ was built from other sources\), and CMake was not found/);
  await offer(copy, (made) => ({ ...made, sha256: 'another' }));
  assert.match(
    (await install(copy)).output,
    /\(\S+ is damaged: its SHA-256 is not the one in its package\.json\), and CMake was not found/,
  );
  const folder = await offer(copy, (made) => ({ ...made, sha256: createHash('sha256').update('no addon').digest('hex') }));
  await writeFile(join(folder, 'dropstream.node'), 'no addon');
  assert.match((await install(copy)).output, /\(\S+ does not load: .*\), and CMake was not found/);
  for (const text of ['{ "name": ', '{}']) {
    await writeFile(join(folder, 'package.json'), text);
    assert.match((await install(copy)).output, /\(\S+ does not say what it was built from\), and CMake was not found/);
  }
});

test('whoever asks to compile gets no prebuilt addon', async (t) => {
  const copy = await packageCopy(t);
  await offer(copy);
  for (const env of [{ DROPSTREAM_NATIVE: 'compile' }, { npm_config_build_from_source: 'true' }]) {
    const { code, output } = await install(copy, env);
    assert.equal(code, 1);
    assert.match(output.trim(), /^dropstream: the addon is to be compiled, and CMake was not found\.\n/);
  }
  const unknown = await install(copy, { DROPSTREAM_NATIVE: 'maybe' });
  assert.deepEqual([unknown.code, unknown.output.trim()], [1, 'dropstream: DROPSTREAM_NATIVE is "maybe", must be compile or prebuilt']);
});
