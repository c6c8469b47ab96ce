/**
 * Takes what is secret by its form out of a text that others will read: users and passwords of URLs, signatures and tokens in queries, values of
 * authorization headers, bearer tokens, JWTs and private keys. Every log line, every error for a caller and every error of the command line passes here.
 *
 * The text may be JSON: nothing is taken across a quote or a backslash, so that it stays valid.
 */

const hidden = '…';

/** Names of parameters, options and fields whose values are secrets. Files with secrets (`--token-file`) and cursors (`page_token`) are none. */
const secretNames = [
  'x-amz-(?:signature|credential|security-token)',
  'signature',
  'sig',
  'aws_?access_?key_?id',
  '(?!page)(?:[a-z0-9]+[-_])*(?:secret|password|passwd|passphrase|token|(?:api|secret|access|secret[-_]?access)[-_]?key|access[-_]?key[-_]?id)',
  '(?:proxy-)?authorization',
].join('|');

type Replacement = string | ((match: string, ...groups: string[]) => string);

/** Each takes time in proportion to the length of the text. */
const replacements: readonly (readonly [RegExp, Replacement])[] = [
  [/-----BEGIN(?: |%20)(?:[A-Z]{1,20}(?: |%20)){0,3}PRIVATE(?: |%20)KEY-----(?!…)[^"]*/g, withoutKey],
  // One slash is left where a URL was taken for a path.
  [/\b[a-z][a-z0-9+.-]{0,20}:\/\/?[^\s"'\\<>]*/gi, withoutUser],
  [new RegExp(`([?&;]|%3f|%26)(${secretNames})(=|%3d)(?:(?!%26)[^&;#\\s"'\\\\<>])+`, 'gi'), `$1$2$3${hidden}`],
  // A field of JSON, and a header.
  [/\b((?:proxy-)?authorization(["'])\s*:\s*\2(?:(?:bearer|basic)\s+)?)[^\s"'\\]+/gi, `$1${hidden}`],
  [/\b((?:proxy-)?authorization\s*[:=]\s*(?:(?:bearer|basic)\s+)?)[^\s"'\\,;[\]{}]+/gi, `$1${hidden}`],
  // What stands behind these words in a sentence has no digits and capitals.
  [/\b([Bb]earer|[Bb]asic|BEARER|BASIC)(\s+|%20)(?=[^\s"'\\]*[0-9A-Z=_])[\w.~+/=-]{8,}/g, `$1$2${hidden}`],
  [/\bdst_([0-9a-f]{12})_[\w-]+/g, `dst_$1_${hidden}`],
  [/\beyJ[\w-]{2,}\.[\w-]+(?:\.[\w-]*)?/g, `eyJ${hidden}`],
];

/** A password may hold slashes, question marks and at signs, so everything up to the last at sign counts. */
function withoutUser(url: string): string {
  const at = Math.max(url.lastIndexOf('@'), url.lastIndexOf('%40'));
  const [scheme] = /^[^/]*\/\/?/.exec(url)!;
  if (at >= 0) return `${scheme}${hidden}${url.slice(at)}`;
  // Without its end, a URL has something else than a port behind the name of the user.
  const [user] = /^[^:]*:\/\/?[^/?#:[]*:(?!\d{0,5}(?:[/?#&,;.)\]}]|%|$)|port\b|…)/.exec(url) ?? [];
  return user === undefined ? url : `${user}${hidden}`;
}

function withoutKey(text: string): string {
  const begin = text.slice(0, text.indexOf('KEY-----') + 8);
  const last = text.lastIndexOf('-----END');
  const end = last < 0 ? '' : text.slice(last).replace(/^-----END[A-Z %0-9]{0,60}(?:-----)?/, '');
  return `${begin}${hidden}${end}`;
}

const whole = new RegExp(`^(?:--)?(?:${secretNames})$`, 'i');

/** Whether the value of an option, a variable or a field of this name is a secret: `--secret-key`, `AWS_SECRET_ACCESS_KEY`, `sessionToken`. */
export const isSecretName = (name: string): boolean => whole.test(name.replace(/([a-z0-9])([A-Z])/g, '$1_$2'));

export function redacted(text: string): string {
  let result = text;
  for (const [pattern, rest] of replacements) result = result.replace(pattern, rest as string);
  return result;
}
