/**
 * The file of a service's identities: principals with their roles, the URIs of their certificates, and hashes of their tokens; and issuers of JWTs.
 *
 *     { "version": 1, "principals": { "alice": { "roles": { "vision": "submitter" }, "uris": [], "tokens": [{ "id": …, "sha256": …, … }] } } }
 */
import { z } from 'zod';
import { parseOwnJson } from '#bounds/own-json.js';
import { readSmallFile } from '#bounds/small-file.js';
import { InvalidArgument, invalid, Violations } from '#errors/errors.js';
import { grantedRoles, grantRule, isGrantedProject, issuer } from './issuer.js';
import { changePrivateFile } from './private-file.js';
import { tokenIdPattern } from './tokens.js';

export const principalPattern = /^[a-z0-9][a-z0-9._@-]{0,62}$/;
export const principalRule = '1 to 63 characters of a-z, 0-9, ".", "_", "@" and "-", beginning with a letter or a digit';
export { grantRule, isGrantedProject };

const time = z.iso.datetime({ error: 'a time such as 2027-01-31T12:00:00Z' });
const token = z.strictObject({
  id: z.string().regex(tokenIdPattern, '12 hexadecimal digits'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits'),
  created: time,
  /** Without it, the token does not expire. */
  expires: time.optional(),
});
const principal = z.strictObject({
  roles: grantedRoles,
  uris: z.array(z.string().min(1).max(2048)).default([]),
  tokens: z.array(token).default([]),
});
const schema = z.strictObject({
  version: z.literal(1),
  principals: z.record(z.string().regex(principalPattern, principalRule), principal),
  issuers: z.record(z.string().regex(principalPattern, principalRule), issuer).optional(),
});

export type IdentityFile = z.output<typeof schema>;
export type Principal = z.output<typeof principal>;

const MAX_BYTES = 4 << 20;

/** @throws InvalidArgument with every violation; messages repeat no value of the file, because a secret may have been written in the wrong place */
export function readIdentityFile(path: string, option = '--identities'): IdentityFile {
  let text: string;
  try {
    text = readSmallFile(path, MAX_BYTES).toString('utf8');
  } catch (cause) {
    throw invalid(option, path, `a readable file of at most 4 MiB (${(cause as Error).message})`);
  }
  let content: unknown;
  try {
    content = parseOwnJson(text);
  } catch {
    throw invalid(option, path, 'a file with valid JSON and no key __proto__');
  }
  const parsed = schema.safeParse(content);
  const violations = new Violations();
  if (!parsed.success) {
    for (const { path: at, message } of parsed.error.issues.slice(0, 20))
      violations.add(option, path, `valid at ${at.join('.')}: ${message}`);
    throw new InvalidArgument(violations.list);
  }
  const seen = new Set<string>();
  for (const [name, { tokens, uris }] of Object.entries(parsed.data.principals))
    for (const what of [...tokens.map(({ id }) => `token ${id}`), ...uris.map((uri) => `URI ${uri}`)]) {
      violations.check(!seen.has(what), option, path, `without a second ${what} (at ${name})`);
      seen.add(what);
    }
  for (const [name, { issuer }] of Object.entries(parsed.data.issuers ?? {})) {
    violations.check(!seen.has(`issuer ${issuer}`), option, path, `without a second issuer with the same URL (at ${name})`);
    seen.add(`issuer ${issuer}`);
  }
  violations.throwIfAny();
  return parsed.data;
}

/**
 * Changes the file, or makes it. Only its owner can read it afterwards. Readers see the old or the new content.
 * @throws FailedPrecondition while somebody else changes it; what `change` throws
 */
export function changeIdentityFile(path: string, change: (file: IdentityFile) => IdentityFile): void {
  changePrivateFile(path, '--identities', (exists) => {
    const changed = change(exists ? readIdentityFile(path) : { version: 1, principals: {} });
    return `${JSON.stringify(changed, undefined, 2)}\n`;
  });
}
