// Which tests may skip, and where. With CI=true a skip that no row allows fails the run (scripts/run-tests.mjs).
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './test-suites.mjs';

const shared = process.env.DROPSTREAM_SHARED ?? join(root, '..', 'shared');
const withoutShared = (...parts) => !existsSync(join(shared, ...parts));
const withoutPackage = (name) => !existsSync(join(root, 'node_modules', name, 'package.json'));

/**
 * `reason` is what the test says; the row counts only where `here` is true. `because` is why the project accepts that the test does not run here.
 */
export const expectedSkips = [
  {
    reason:
      /shared (fixtures|folder|images) (are|is) (not|absent)|the shared fixtures|no \.\.\/shared|^no images$|the recipe is not beside/,
    here: withoutShared('fixtures') || withoutShared('data'),
    because: 'golden values and photographs are in a folder beside the checkout, because they are large and we may not publish them',
  },
  {
    reason:
      /^(minio|grpcurl|promtool|prometheus|helm|kubeconform|k8s-schemas|keda-scaler-client|kube-apiserver|etcd|chromium): no .*get-tool/,
    here: withoutShared('tools', 'get-tool'),
    because: 'a script in a folder beside the checkout builds the test tools',
  },
  {
    reason:
      /^(minio|grpcurl|promtool|prometheus|helm|kubeconform|k8s-schemas|keda-scaler-client|kube-apiserver|etcd): get-tool failed|^(helm-unittest: go build|keda: go mod download) failed/,
    here: spawnSync('go', ['version']).status !== 0,
    because: 'that script compiles the tools with Go, which may not be installed',
  },
  {
    reason: /^chromium: get-tool failed/,
    here: process.getuid?.() !== 0,
    because: 'that script installs Chromium as a package of Debian, which only root may do',
  },
  {
    reason: /^otel-collector: it could not be compiled/,
    here: spawnSync('go', ['version']).status !== 0,
    because: "OpenTelemetry's own receiver (test/support/collector) is written in Go, which may not be installed",
  },
  {
    reason: /^executor tfjs-tensorflow: @tensorflow\/tfjs-node/,
    here: withoutPackage('@tensorflow/tfjs-node') && withoutPackage('@tensorflow/tfjs-node-gpu'),
    because: 'TensorFlow is an optional peer dependency; npm run setup:tensorflow installs it, on Linux on x86-64 only',
  },
  {
    reason: /^(executor webgpu|no WebGPU): .*(the npm package webgpu is not installed)/,
    here: withoutPackage('webgpu'),
    because: 'WebGPU is an optional peer dependency; npm run setup:webgpu installs it',
  },
  {
    reason: /^(executor webgpu|no WebGPU|no WebGPU with f16): /,
    here: !withoutPackage('webgpu') && process.env.DROPSTREAM_WEBGPU_TESTS !== 'required',
    because: 'without a Vulkan driver there is no adapter; CI installs lavapipe and sets DROPSTREAM_WEBGPU_TESTS=required',
  },
  {
    reason: /^no Gloo: /,
    here: !existsSync('/usr/include/gloo/config.h'),
    because:
      "Gloo is a package of the operating system, needed for several workers on one run; CI installs Debian's libgloo-dev where it may",
  },
  {
    reason: /^threads and files of a process are counted in \/proc$/,
    here: process.platform !== 'linux',
    because: 'other systems report them in other ways',
  },
  {
    reason: /^DROPSTREAM_PEERS_VENV names no environment/,
    here: process.env.DROPSTREAM_PEERS_VENV === undefined,
    because: 'PyTorch and timm need gigabytes; their results are checked in as golden values',
  },
  {
    reason: /^there is no python|tensorboard|grpcio-tools|grpc_tools/i,
    here: process.env.DROPSTREAM_PYTHON === undefined,
    because: 'the machine has no Python that can install packages',
  },
  {
    reason: /^root may write anywhere$/,
    here: process.getuid?.() === 0,
    because: 'file permissions do not restrict root; the test runs for every other user',
  },
  { reason: /^no openssl command/, here: true, because: 'certificates for tests are made with openssl, which a bare machine may lack' },
  {
    reason: /^resident memory is read from \/proc$/,
    here: process.platform !== 'linux',
    because: 'other systems report it in other ways',
  },
];

/** The skipped tests that no row allows here. */
export const unexpected = (skipped) => skipped.filter(({ why }) => !expectedSkips.some(({ reason, here }) => here && reason.test(why)));
