// node scripts/build-console.mjs: bundles the web console into services/gateway/console/dist, which the gateway serves. File names hold a hash of what is
// in them, so that browsers may keep them for ever. Fails if the page is larger than people should have to load.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'services', 'gateway', 'console');
const target = join(source, 'dist');
/** Of all files together, compressed. */
const MOST_BYTES = 200_000;

const { outputFiles } = await build({
  entryPoints: { console: join(source, 'main.tsx'), icon: join(source, 'icon.svg') },
  absWorkingDir: root,
  outdir: target,
  entryNames: '[name]-[hash]',
  loader: { '.svg': 'copy' },
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  conditions: ['source'],
  tsconfig: join(source, 'tsconfig.json'),
  legalComments: 'none',
  logLevel: 'warning',
  write: false,
});

const nameOf = (ending) => {
  const found = outputFiles.map(({ path }) => basename(path)).find((name) => name.endsWith(ending));
  if (found === undefined) throw new Error(`the console's build has no file *${ending}`);
  return found;
};
const page = readFileSync(join(source, 'index.html'), 'utf8')
  .replace('ICON', `/${nameOf('.svg')}`)
  .replace('STYLE', `/${nameOf('.css')}`)
  .replace('SCRIPT', `/${nameOf('.js')}`);
const bundled = ['preact', 'uplot'].map((name) => {
  const folder = join(root, 'node_modules', name);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return `${name} ${version}\n\n${readFileSync(join(folder, 'LICENSE'), 'utf8').trim()}\n`;
});
const files = [
  ...outputFiles.map(({ path, contents }) => [basename(path), Buffer.from(contents)]),
  ['index.html', Buffer.from(page)],
  ['licences.txt', Buffer.from(`The console contains these packages.\n\n${bundled.join('\n')}`)],
];

const compressed = files.reduce((sum, [, content]) => sum + gzipSync(content).length, 0);
if (compressed > MOST_BYTES) throw new Error(`the console has ${compressed} bytes compressed, more than ${MOST_BYTES}`);
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
for (const [name, content] of files) writeFileSync(join(target, name), content);
console.log(`the console has ${files.length} files and ${Math.round(compressed / 1000)} kB compressed`);
