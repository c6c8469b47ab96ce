// Run by .ci/run inside an empty folder where the packed package was installed: the package's public faces load and its services start.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = process.argv[2];
const require = createRequire(join(folder, 'package.json'));
for (const face of ['dropstream/schedule', 'dropstream/client', 'dropstream/protocol/trainer']) {
  await import(pathToFileURL(require.resolve(face)).href);
  console.log(`imports ${face}`);
}

const up = spawn(join(folder, 'node_modules/.bin/dropstream'), ['up', '--json'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
const timer = setTimeout(() => fail('dropstream up printed no addresses within 60 s'), 60_000);
let output = '';
up.stdout.on('data', (chunk) => {
  output += chunk;
  if (!/trainer/.test(output) || !/\}\s*$/.test(output)) return;
  clearTimeout(timer);
  console.log('dropstream up started every service');
  up.kill('SIGTERM');
});
up.on('exit', (code) => (code === 0 ? process.exit(0) : fail(`dropstream up ended with ${code}`)));

function fail(why) {
  console.error(why);
  up.kill('SIGKILL');
  process.exit(1);
}
