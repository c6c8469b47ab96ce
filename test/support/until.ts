import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** What `find` returns as soon as that is neither undefined nor false. Fails after so many looks, with `pauseMs` between two. */
export async function until<T>(
  what: string,
  find: () => T | undefined | false | Promise<T | undefined | false>,
  { looks = 500, pauseMs = 10 } = {},
): Promise<T> {
  for (let look = 0; look < looks; look++) {
    const found = await find();
    if (found !== undefined && found !== false) return found;
    await delay(pauseMs);
  }
  return assert.fail(`waited for ${what}`);
}
