import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Machine, missingForVulkan } from './missing-vulkan.js';

const loader = '/usr/lib/x86_64-linux-gnu/libvulkan.so.1';
const drivers = '/usr/share/vulkan/icd.d';

/** A machine with these files; those that it may not open end with "!". */
function machine(files: readonly string[], env: Machine['env'] = {}): Machine {
  const paths = files.map((file) => file.replace(/!$/, ''));
  return {
    ...{ env, home: '/home/me' },
    exists: (path) => paths.includes(path),
    list: (folder) => paths.filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1)),
    mayOpen: (path) => files.includes(path),
  };
}

const mesa = `${drivers}/radeon_icd.x86_64.json`;
const cases: readonly [what: string, files: readonly string[], said: RegExp | undefined, env?: Machine['env']][] = [
  ['without the loader', [mesa], /^libvulkan\.so\.1 is missing; install/],
  ['with the loader alone', [loader], /^there is no Vulkan driver; install/],
  ['with a driver and no card', [loader, mesa], /no \/dev\/dri\/renderD\*.*--device \/dev\/dri/],
  ['with a card that is closed', [loader, mesa, '/dev/dri/renderD128!'], /^this process may not open \/dev\/dri\/renderD128; give/],
  ['with everything', [loader, mesa, '/dev/dri/renderD128'], undefined],
  [
    'in a container without the capability graphics',
    [loader, mesa, '/dev/nvidiactl', '/dev/dri/renderD128'],
    /^there is an NVIDIA card, but not its Vulkan driver; .*NVIDIA_DRIVER_CAPABILITIES=graphics,compute$/,
  ],
  ['in a container with it', [loader, '/dev/nvidiactl', '/etc/vulkan/icd.d/nvidia_icd.json'], undefined],
  ['whose user has a driver of his own', [loader, '/home/me/.local/share/vulkan/icd.d/lvp_icd.json', '/dev/dri/renderD128'], undefined],
  [
    'whose environment names a driver that is not there',
    [loader, mesa],
    /^there is no Vulkan driver/,
    { VK_DRIVER_FILES: '/opt/icd.json' },
  ],
  ['with a loader of its own', ['/opt/lib/libvulkan.so.1'], /^there is no Vulkan driver/, { LD_LIBRARY_PATH: '/opt/lib:/x' }],
];

for (const [what, files, said, env] of cases)
  test(`a machine ${what}: ${said === undefined ? 'nothing is missing' : 'what is missing is named, with what to do'}`, () => {
    const found = missingForVulkan(machine(files, env));
    if (said === undefined) assert.equal(found, undefined);
    else assert.match(found!, said);
  });
