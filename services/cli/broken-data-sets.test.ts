/** `train` refuses a data set with files that are no images before it starts anything, with their paths and what they are, in either part. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { writeImageFolder } from '../../test/support/sample-datasets.js';
import { exitCodes } from './exit-codes.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-broken-'));
after(() => rmSync(base, { recursive: true, force: true }));

const jpeg = readFileSync(new URL('../../test/fuzz/corpus/cmyk.jpg', import.meta.url));
const hugePng = Buffer.from('89504e470d0a1a0a0000000d494844520000ffff0000ffff08020000000000000000000049454e44ae426082', 'hex');
const broken: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
  'cut.jpg': [jpeg.subarray(0, 600), /cut\.jpg: image header: jpeg (without its end|ends before)/],
  'empty.png': [Buffer.alloc(0), /empty\.png: .*it is empty/],
  'page.jpg': [Buffer.from('<!doctype html><html>403 Forbidden</html>'), /page\.jpg: .*an HTML or XML page/],
  'pointer.webp': [Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n'), /pointer\.webp: .*git-lfs pointer/],
  'huge.png': [hugePng, /huge\.png: .*65535 x 65535 pixels/],
  'phone.heic': [Buffer.from('\0\0\0\x18ftypheic\0\0\0\0', 'latin1'), /phone\.heic: .*a HEIF image, which is not read; convert it/],
};

function newSet(): string {
  const folder = mkdtempSync(join(base, 'set-'));
  for (const part of ['train', 'val']) writeImageFolder(join(folder, part), { perClass: 2 });
  return folder;
}
const dryRun = (folder: string, ...more: string[]) => {
  const options = ['--model', 'vit_micro_p8', '--epochs', '1', '--warmup_epochs', '0', '--batch_size', '2'];
  return runCommandLine(['train', ...options, '--data_path', folder, '--dry_run', ...more], { cwd: base });
};

for (const [name, [bytes, said]] of Object.entries(broken))
  test(`${name} in the images for training, and in those for evaluation`, async () => {
    for (const part of ['train', 'val']) {
      const folder = newSet();
      writeFileSync(join(folder, part, 'bee', name), bytes);
      const { code, err } = await dryRun(folder);
      assert.equal(code, exitCodes.usage, err);
      assert.match(err, said);
      assert.ok(err.includes(join(folder, part)), err);
    }
  });

test('within the share that may be missing they are left out, and told of', async () => {
  const folder = newSet();
  for (const [name, [bytes]] of Object.entries(broken)) writeFileSync(join(folder, 'val', 'bee', name), bytes);
  const { code, err } = await dryRun(folder, '--max_undecodable', '0.5');
  assert.equal(code, 0, err);
  assert.match(err, /training images: 6 in 3 classes; evaluation images: 6/);
  assert.match(err, /left out bee\/.*: /);
  assert.match(err, /left out 6 files in all/);
});
