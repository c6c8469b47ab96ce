// Loads an addon for musl with musl's own loader: in a program that has Node-API's functions, none of which is called, because a Node for musl is not to be
// had from a package registry. The loader (Debian: apt-get install musl) is the one of this machine's architecture; qemu-user runs the other one's, where
// QEMU_LD_PREFIX has it.
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { run } from '../native/commands.mjs';
import { neededFolder, root } from '../native/sources.mjs';

const PROGRAM = `#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int count, char** arguments) {
  void* addon = count == 2 ? dlopen(arguments[1], RTLD_NOW) : 0;
  if (!addon) return fprintf(stderr, "%s\\n", dlerror()), 1;
  if (!dlsym(addon, "napi_register_module_v1")) return fputs("no napi_register_module_v1\\n", stderr), 1;
  return puts("loaded"), 0;
}
`;

/** @returns 'loads under musl', or why that was not tried. Throws where it does not load */
export async function loadUnderMusl(addon, { processor }, tools, folder, env) {
  const native = processor === (process.arch === 'x64' ? 'x86_64' : 'aarch64');
  const loader = join(native ? '/' : (process.env.QEMU_LD_PREFIX ?? '/'), 'lib', `ld-musl-${processor}.so.1`);
  if (!existsSync(loader)) return `not loaded: there is no ${loader}`;
  const { symbols } = createRequire(join(root, 'package.json'))(neededFolder('node-api-headers'));
  const names = new Set(Object.values(symbols).flatMap(({ js_native_api_symbols: js, node_api_symbols: node }) => [...js, ...node]));
  const [source, program] = [join(folder, 'load-musl.c'), join(folder, 'load-musl')];
  writeFileSync(source, `${PROGRAM}${[...names].map((name) => `void ${name}(void) { abort(); }`).join('\n')}\n`);
  const built = await run(join(tools, 'zig-cc'), ['-dynamic', '-rdynamic', '-o', program, source], { env });
  if (built.code !== 0) throw new Error(`the program that loads the addon did not compile:\n${built.log.slice(-2000)}`);
  const [command, ...args] = native ? [loader, program, addon] : [`qemu-${processor}`, loader, program, addon];
  const { code, log } = await run(command, args);
  if (code !== 0) throw new Error(`${addon} does not load under musl: ${log.trim()}`);
  return `loads under musl${native ? '' : ' in qemu'}`;
}
