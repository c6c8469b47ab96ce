// node scripts/build-console.mjs: bundles the web console into services/gateway/console/dist, which the gateway serves, and the page of reports into
// services/gateway/console/report/dist, which the command line fills. File names of the console hold a hash of what is in them, so that browsers may keep
// them for ever. Fails if the console is larger than people should have to load.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'services', 'gateway', 'console');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
/** Of all files of the console together, compressed. */
const MOST_BYTES = 200_000;

const files = [...(await consoleFiles()), ['licences.txt', Buffer.from(licences())]];
const compressed = files.reduce((sum, [, content]) => sum + gzipSync(content).length, 0);
if (compressed > MOST_BYTES) throw new Error(`the console has ${compressed} bytes compressed, more than ${MOST_BYTES}`);
writeFolder(join(source, 'dist'), files);
const report = await reportPage();
writeFolder(join(source, 'report', 'dist'), [['report.html', Buffer.from(report)]]);
console.log(
  `the console has ${files.length} files and ${Math.round(compressed / 1000)} kB compressed, an empty report ${Math.round(report.length / 1000)} kB`,
);

async function bundle(entryPoints) {
  const { outputFiles } = await build({
    entryPoints,
    absWorkingDir: root,
    outdir: source,
    entryNames: '[name]-[hash]',
    loader: { '.svg': 'copy' },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['source'],
    define: { DROPSTREAM_VERSION: JSON.stringify(version) },
    tsconfig: join(source, 'tsconfig.json'),
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
  });
  return (ending) => {
    const found = outputFiles.find(({ path }) => path.endsWith(ending));
    if (found === undefined) throw new Error(`the build has no file *${ending}`);
    return { name: basename(found.path), contents: Buffer.from(found.contents) };
  };
}

async function consoleFiles() {
  const made = await bundle({ console: join(source, 'main.tsx'), icon: join(source, 'icon.svg') });
  const parts = ['.svg', '.css', '.js'].map(made);
  const [icon, style, script] = parts.map(({ name }) => `/${name}`);
  const page = readFileSync(join(source, 'index.html'), 'utf8').replace('ICON', icon).replace('STYLE', style).replace('SCRIPT', script);
  return [...parts.map(({ name, contents }) => [name, contents]), ['index.html', Buffer.from(page)]];
}

/** One file, whose policy allows what is in it and nothing else. Its element for data is empty, for whoever fills it. */
async function reportPage() {
  const made = await bundle({ report: join(source, 'report', 'report.tsx') });
  const [style, script] = ['.css', '.js'].map((ending) => made(ending).contents.toString().trim());
  const of = (content) => `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
  const policy = `default-src 'none'; script-src ${of(script)}; style-src ${of(style)}; img-src data:; base-uri 'none'; form-action 'none'`;
  // Functions, because a dollar sign in a text to insert would mean something.
  return readFileSync(join(source, 'report', 'report.html'), 'utf8')
    .replace('<!-- POLICY -->', () => `<meta http-equiv="content-security-policy" content="${policy}">`)
    .replace('<!-- STYLE -->', () => `<style>${style}</style>`)
    .replace('<!-- SCRIPT -->', () => `<script type="module">${script}</script>`)
    .replace('<!-- LICENCES -->', () => `<!--\n${licences().replaceAll('--', '- -')}-->`);
}

function licences() {
  const bundled = ['preact', 'uplot'].map((name) => {
    const folder = join(root, 'node_modules', name);
    const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return `${name} ${about.version}\n\n${readFileSync(join(folder, 'LICENSE'), 'utf8').trim()}\n`;
  });
  return `This page contains these packages.\n\n${bundled.join('\n')}`;
}

function writeFolder(folder, contents) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of contents) writeFileSync(join(folder, name), content);
}
