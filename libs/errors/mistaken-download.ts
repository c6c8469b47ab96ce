/** What a download that went wrong leaves under the name of a file. */

/** @param start of the file, a few hundred bytes of it @returns what it is and what to do; undefined for anything else */
export function mistakenDownload(start: Uint8Array): string | undefined {
  if (start.byteLength === 0) return 'it is empty';
  const text = Buffer.from(start.buffer, start.byteOffset, Math.min(512, start.byteLength)).toString('latin1');
  if (text.startsWith('version https://git-lfs.github.com/spec/'))
    return 'it is a git-lfs pointer; fetch the file itself with `git lfs pull`';
  if (/^\s*(<!doctype html|<html|<\?xml|<head)/i.test(text))
    return 'it is an HTML or XML page, as a server sends in place of a file; download it again';
  return undefined;
}
