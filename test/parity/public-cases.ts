/** The cases of the public set for unit tests: they compare through the same code as the parity runner. */
import assert from 'node:assert/strict';
import { assertChecks } from '../support/checks.js';
import { publicFixtures } from '../support/fixtures.js';
import { imagenetTar } from '../support/image-fixtures.js';
import { ImageSet } from '../support/image-set.js';
import type { ParitySource } from './parity-case.js';

/** Runs the cases of a source whose name is `wanted`, in float32 on the native engine. Throws where one fails, is skipped or there is none. */
export async function assertPublic(source: ParitySource, wanted: (name: string) => boolean = () => true): Promise<{ cases: number }> {
  const context = {
    folder: publicFixtures,
    images: new ImageSet(imagenetTar === undefined ? [] : [imagenetTar]),
    engine: { executor: 'native', precision: 'fp32' } as const,
    engineMissing: undefined,
  };
  let cases = 0;
  for (const file of publicFixtures.files().filter((name) => source.file.test(name))) {
    for (const one of source.cases(file, context).filter(({ name }) => wanted(name))) {
      assert.ok('run' in one, `${one.name} is skipped`);
      assertChecks(await one.run(), one.name);
      cases++;
    }
  }
  assert.ok(cases > 0, `no case of ${source.group}`);
  return { cases };
}
