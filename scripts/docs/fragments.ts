/**
 * Generated parts of pages that people write. A fragment stands between two markers:
 *
 *     <!-- generated: NAME -->
 *     <!-- end: NAME -->
 */

const opening = /^<!-- generated: (.+) -->$/;

/**
 * The page with every fragment filled in; names that were met are added to `used`.
 * @throws Error naming page and fragment where a fragment is unknown or has no end
 */
export function fillFragments(page: string, text: string, fragments: ReadonlyMap<string, readonly string[]>, used: Set<string>): string {
  const lines = text.split('\n');
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    out.push(lines[i]!);
    const name = opening.exec(lines[i]!)?.[1];
    if (name === undefined) continue;
    const fragment = fragments.get(name);
    if (!fragment) throw new Error(`${page}: there is no fragment "${name}"; there are ${[...fragments.keys()].join(', ')}`);
    const closing = `<!-- end: ${name} -->`;
    const end = lines.indexOf(closing, i);
    if (end < 0) throw new Error(`${page}: the fragment "${name}" has no line ${closing}`);
    out.push('', ...fragment, '', closing);
    used.add(name);
    i = end;
  }
  return out.join('\n');
}
