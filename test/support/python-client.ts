/** libs/python-client as its users have it: built by pip into a folder. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

export const python = process.env.DROPSTREAM_PYTHON ?? 'python3';

/** Why the package cannot be built or used here, or false. */
export const noPythonClient: string | false = await run(
  python,
  ['-c', 'import grpc_tools, grpc_health.v1, google.rpc, numpy, setuptools, pip'],
  {
    timeout: 60_000,
  },
).then(
  () => false as const,
  () =>
    `${python} lacks a package (pip install grpcio-tools grpcio-health-checking googleapis-common-protos numpy, or name another Python with DROPSTREAM_PYTHON)`,
);

/** Where the package's own files lie. */
export const pythonClientFolder = join(root, 'libs', 'python-client');

export interface PythonClient {
  /** For programs that import the package. */
  readonly env: Readonly<Record<'PYTHONPATH', string>>;
  remove(): Promise<void>;
}

/** Builds with the packages that `python` has. The clone stays as it is: the build works on a copy. */
export async function buildPythonClient(): Promise<PythonClient> {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-python-'));
  const source = join(folder, 'clone', 'libs', 'python-client');
  const target = join(folder, 'installed');
  await mkdir(join(folder, 'clone', 'libs'), { recursive: true });
  const built = /\/(build|dist|__pycache__|[^/]*\.egg-info|src\/dropstream\/v1)$/;
  await cp(pythonClientFolder, source, { recursive: true, filter: (path) => !built.test(path) });
  await cp(join(root, 'proto'), join(folder, 'clone', 'proto'), { recursive: true });
  await cp(join(root, 'package.json'), join(folder, 'clone', 'package.json'));
  const options = ['--quiet', '--disable-pip-version-check', '--no-index', '--no-deps', '--no-build-isolation'];
  await run(python, ['-m', 'pip', 'install', ...options, '--target', target, source], { timeout: 180_000 });
  return { env: { PYTHONPATH: target }, remove: () => rm(folder, { recursive: true, force: true }) };
}
