// npm run setup:tensorflow [-- --gpu]: makes @tensorflow/tfjs-node (or -gpu) work, which the executor `tfjs-tensorflow` runs on.
//
// The package's own install script fetches a libtensorflow of 2022 from a host of its own. Here the package comes without its scripts,
// libtensorflow and its C headers out of the TensorFlow wheel (checked by hash), and its binding is compiled against them. Nothing is saved:
// package.json and package-lock.json stay as they are, and a later `npm ci` or `npm install` takes the package away again.
// Tried on CPUs; the build for GPUs has been made, never run on one.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { installPeer, peerFolder, peerVersion, root } from './install-peers.mjs';

const began = Date.now();
const MINUTE_MS = 60_000;

const TENSORFLOW_VERSION = '2.18.1';
/** Wheels for CPython 3.11: only their C libraries are used, so the machine's Python may be another. */
const variants = {
  cpu: {
    package: '@tensorflow/tfjs-node',
    wheel: 'tensorflow-cpu',
    sha256: '810c75d7149d2da0cb2092187817b0dcabb80728ca9f9cf3a61f3f42fadd1298',
    cuda: [],
    size: 'about 230 MB to download, 650 MB installed',
  },
  gpu: {
    package: '@tensorflow/tfjs-node-gpu',
    wheel: 'tensorflow',
    sha256: 'c9f87e5d2a680a4595f5dc30daf6bbaec9d4129b46d7ef1b2af63c46ac7d2828',
    // The wheel is a build for CUDA 12.5 and cuDNN 9.3; libtensorflow looks for these beside its own folder.
    cuda: [
      'nvidia-cublas-cu12==12.5.3.2',
      'nvidia-cuda-cupti-cu12==12.5.82',
      'nvidia-cuda-nvcc-cu12==12.5.82',
      'nvidia-cuda-nvrtc-cu12==12.5.82',
      'nvidia-cuda-runtime-cu12==12.5.82',
      'nvidia-cudnn-cu12==9.3.0.75',
      'nvidia-cufft-cu12==11.2.3.61',
      'nvidia-curand-cu12==10.3.6.82',
      'nvidia-cusolver-cu12==11.6.3.83',
      'nvidia-cusparse-cu12==12.5.1.3',
      'nvidia-nccl-cu12==2.21.5',
      'nvidia-nvjitlink-cu12==12.5.82',
    ],
    size: 'about 4 GB installed',
  },
};
const pythonTags = ['--implementation', 'cp', '--python-version', '3.11', '--platform', 'manylinux2014_x86_64'];
const pipFlags = ['-q', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'];

const seconds = () => Math.round((Date.now() - began) / 1000);
const say = (message) => console.log(`setup:tensorflow: ${message}`);

class SetupFailed extends Error {}

/** Runs a command to its end. Throws SetupFailed with what it wrote where it fails, or takes longer than `timeout` milliseconds. */
function run(command, args, { cwd = root, timeout = 10 * MINUTE_MS, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, timeout, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    let [out, log] = ['', ''];
    child.stdout.on('data', (chunk) => {
      out = (out + chunk).slice(-20_000);
      log = (log + chunk).slice(-20_000);
    });
    child.stderr.on('data', (chunk) => {
      log = (log + chunk).slice(-20_000);
    });
    const failed = (why) => reject(new SetupFailed(`${command} ${args[0] ?? ''} ${why}\n${log.trim().slice(-4000)}`));
    child.on('error', (error) => failed(`does not run: ${error.message}`));
    child.on('close', (code, signal) => (code === 0 ? resolve(out.trim()) : failed(`ended with ${code ?? signal}`)));
  });
}

/**
 * A training step in a process of its own, on the one TensorFlow.js core that the executors use too: a second core, a backend that does
 * not load or a step that does not lower the loss is an error. @returns a line about the backend
 */
function checkTrains(name) {
  // Two functions that the package calls left node:util in Node 23; libs/engine/tfjs/backend.ts puts them back too.
  const program = `
    const util = (await import('node:util')).default;
    util.isNullOrUndefined ??= (value) => value === null || value === undefined;
    util.isArray ??= Array.isArray;
    const tf = await import('@tensorflow/tfjs-core');
    await import('${name}');
    if (tf.findBackend('tensorflow') === null) throw new Error('${name} brought a TensorFlow.js core of its own');
    await tf.setBackend('tensorflow');
    const weights = tf.variable(tf.ones([3, 1]));
    const loss = () => tf.mean(tf.square(tf.matMul(tf.ones([2, 3]), weights)));
    const [before] = await loss().data();
    tf.train.sgd(0.01).minimize(loss);
    const [after] = await loss().data();
    if (!(after < before)) throw new Error('a step took the loss from ' + before + ' to ' + after);
    const { binding, isUsingGpuDevice } = tf.backend();
    console.log('libtensorflow ' + binding.TF_Version + ' on ' + (isUsingGpuDevice ? 'a GPU' : 'the CPU') + ', loss ' + before + ' to ' + after);`;
  return run(process.execPath, ['--input-type=module', '-e', program], { timeout: 2 * MINUTE_MS, env: { TF_CPP_MIN_LOG_LEVEL: '3' } });
}

/** The members of the wheel that are needed: libraries into `libraries`, headers under `headers`. */
async function unpack(wheel, headers, libraries) {
  const program = `
import pathlib, shutil, sys, zipfile
wheel, headers, libraries = sys.argv[1:]
include = 'tensorflow/include/'
wanted = tuple(include + folder for folder in ('tensorflow/c/', 'tensorflow/core/platform/', 'tensorflow/tsl/', 'tsl/', 'xla/tsl/'))
with zipfile.ZipFile(wheel) as archive:
    for member in archive.infolist():
        if member.filename.startswith(wanted) and not member.is_dir():
            target = pathlib.Path(headers, member.filename[len(include):])
        elif member.filename.startswith('tensorflow/libtensorflow'):
            target = pathlib.Path(libraries, pathlib.PurePosixPath(member.filename).name)
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, open(target, 'wb') as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
`;
  await run('python3', ['-c', program, wheel, headers, libraries]);
}

async function install(variant, folder, stamp) {
  const work = mkdtempSync(join(root, 'node_modules', '.setup-tensorflow-'));
  const stopped = () => {
    rmSync(work, { recursive: true, force: true });
    process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stopped);
  try {
    say(`${variant.package} ${version} from npm, without its install script`);
    await installPeer(variant.package).catch((error) => {
      throw new SetupFailed(error.message);
    });

    say(`libtensorflow ${TENSORFLOW_VERSION} out of the wheel ${variant.wheel}, ${variant.size} (${seconds()} s so far)`);
    writeFileSync(join(work, 'wheel.txt'), `${variant.wheel}==${TENSORFLOW_VERSION} --hash=sha256:${variant.sha256}\n`);
    const request = ['--require-hashes', ...pythonTags, '--abi', 'cp311', '-d', work, '-r', join(work, 'wheel.txt')];
    await run('python3', ['-m', 'pip', 'download', ...pipFlags, ...request], { timeout: 30 * MINUTE_MS });
    const wheel = readdirSync(work).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new SetupFailed(`pip left no wheel of ${variant.wheel} ${TENSORFLOW_VERSION}`);

    const libraries = join(folder, 'deps', 'lib');
    const binding = join(folder, 'lib', 'napi-v8');
    for (const old of ['deps', 'lib']) rmSync(join(folder, old), { recursive: true, force: true });
    for (const made of [libraries, binding]) mkdirSync(made, { recursive: true });
    await unpack(join(work, wheel), join(work, 'include'), libraries);
    rmSync(join(work, wheel));
    if (variant.cuda.length > 0) {
      say(`CUDA's libraries from pip (${seconds()} s so far)`);
      const target = ['--target', join(folder, 'deps')];
      await run('python3', ['-m', 'pip', 'install', ...pipFlags, ...pythonTags, ...target, ...variant.cuda], { timeout: 30 * MINUTE_MS });
    }

    say(`compiling the binding (${seconds()} s so far)`);
    await compileBinding(folder, join(work, 'include'), libraries, join(binding, 'tfjs_binding.node'));
    say(await checkTrains(variant.package));
    writeFileSync(join(folder, 'deps', 'stamp'), stamp);
  } catch (error) {
    // A package without its binding would be taken for one that is installed.
    rmSync(folder, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(work, { recursive: true, force: true });
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, stopped);
  }
}

async function compileBinding(folder, headers, libraries, output) {
  const nodeApi = join(dirname(createRequire(join(root, 'package.json')).resolve('node-api-headers/package.json')), 'include');
  const sources = readdirSync(join(folder, 'binding'))
    .filter((name) => name.endsWith('.cc'))
    .map((name) => join(folder, 'binding', name));
  const [compiler = 'c++', ...compilerFlags] = process.env.CXX?.split(' ') ?? [];
  await run(compiler, [
    ...compilerFlags,
    '-std=c++17',
    '-O2',
    '-shared',
    '-fPIC',
    '-w',
    '-DNAPI_VERSION=8',
    '-DNODE_GYP_MODULE_NAME=tfjs_binding',
    '-DBUILDING_NODE_EXTENSION',
    ...[nodeApi, headers, folder].map((include) => `-I${include}`),
    ...sources,
    '-o',
    output,
    `-L${libraries}`,
    '-l:libtensorflow_cc.so.2',
    '-l:libtensorflow_framework.so.2',
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
  ]);
}

function megabytes(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Math.round(
    files.reduce((total, { parentPath, path, name }) => total + statSync(join(parentPath ?? path, name)).size, 0) / 2 ** 20,
  );
}

const usage = 'usage: npm run setup:tensorflow [-- --gpu]';
const args = process.argv.slice(2);
const unknown = args.find((argument) => argument !== '--gpu');
if (unknown !== undefined) {
  console.error(`setup:tensorflow: ${unknown} is not an option; ${usage}`);
  process.exit(2);
}
if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error(
    `setup:tensorflow: there is no TensorFlow ${TENSORFLOW_VERSION} wheel that is used here for ${process.platform}-${process.arch}: Linux on x86-64 only`,
  );
  process.exit(2);
}
const variant = args.includes('--gpu') ? variants.gpu : variants.cpu;
const version = peerVersion(variant.package);
const folder = peerFolder(variant.package);
const stampFile = join(folder, 'deps', 'stamp');
const stamp = [variant.package, version, variant.wheel, TENSORFLOW_VERSION, variant.sha256, ...variant.cuda].join('\n');
try {
  if (!existsSync(join(root, 'node_modules'))) throw new SetupFailed('node_modules is missing: run npm ci first');
  let there = false;
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
    try {
      say(`already there: ${await checkTrains(variant.package)}`);
      there = true;
    } catch (error) {
      if (!(error instanceof SetupFailed)) throw error;
      say(`there, but it does not train: set up again\n${error.message}`);
    }
  }
  if (!there) {
    await install(variant, folder, stamp);
    say(`done in ${seconds()} s; ${megabytes(folder)} MB in ${variant.package}`);
    say('nothing was saved: after the next npm ci or npm install, run this again');
  }
} catch (error) {
  if (!(error instanceof SetupFailed)) throw error;
  console.error(`setup:tensorflow: ${error.message}\nIt needs npm, python3 with pip, and a C++17 compiler (CXX chooses one).`);
  process.exit(1);
}
