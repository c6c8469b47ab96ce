/**
 * The issuers of JWTs in the file of identities: whose tokens count, where the keys are that verify them, and which roles their claims give.
 *
 *     "issuers": { "cluster": {
 *       "issuer": "https://kubernetes.default.svc", "audiences": ["dropstream"], "keys": { "file": "jwks.json" }, "algorithms": ["RS256"],
 *       "grants": [{ "claim": "sub", "is": "system:serviceaccount:vision:trainer", "roles": { "vision": "submitter" } }]
 *     } }
 */
import { z } from 'zod';
import { Unauthenticated } from '#errors/errors.js';
import { idPattern } from '#errors/resource-names.js';
import { everyProject, type Role, roles } from './policy.js';

export const grantRule = `the id of a project, or ${everyProject} for all projects`;
export const isGrantedProject = (project: string): boolean => project === everyProject || idPattern.test(project);
/** Roles by the id of the project, or `*`. */
export const grantedRoles = z.record(z.string().refine(isGrantedProject, grantRule), z.enum(roles));

/** Only signatures whose keys verify and cannot sign: with HS*, whoever can verify could make tokens. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const;

/** A claim, or the path to one inside others, for names that may hold dots. */
const claim = z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).min(1).max(8)], {
  error: 'the name of a claim, or a list of names that leads to one',
});
const text = z.string().min(1).max(500);

const keys = z.union(
  [
    z.strictObject({ file: text }),
    z.strictObject({
      url: z.string().max(2000).refine(isKeysUrl, 'https://host/path, without a user'),
      /** PEM file with the authority of the URL's certificate; default: the usual ones. */
      authority: text.optional(),
      /** File with the bearer token that the URL asks for. */
      tokenFile: text.optional(),
      /** Age at which the keys are fetched again. A key that they do not hold is looked for earlier. */
      refreshSeconds: z.int().min(1).max(86_400).default(300),
    }),
  ],
  { error: '{"file": …} or {"url": "https://…", "authority": …, "tokenFile": …, "refreshSeconds": …}' },
);

export const issuer = z.strictObject({
  /** The claim `iss` of its tokens. */
  issuer: text,
  /** A token has to be for one of them. */
  audiences: z.array(text).min(1).max(20),
  keys,
  algorithms: z
    .array(z.enum(algorithms, { error: `one of ${algorithms.join(', ')}` }))
    .min(1)
    .default(['RS256', 'ES256']),
  /** By how much the clocks of issuer and service may differ. */
  toleranceSeconds: z.int().min(0).max(60).default(5),
  /** The claim that says who the caller is. */
  principal: claim.default('sub'),
  /** In each project, the first entry that holds counts. */
  grants: z
    .array(z.strictObject({ claim, is: z.union([text, z.array(text).min(1).max(100)]), roles: grantedRoles }))
    .max(1000)
    .default([]),
});

export type Issuer = z.output<typeof issuer>;
export type KeySource = Issuer['keys'];
export type Claims = Readonly<Record<string, unknown>>;

function isKeysUrl(value: string): boolean {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url?.protocol === 'https:' && url.username === '' && url.password === '' && url.hash === '';
}

/** Printable, without spaces, and short: the name stands in logs, in errors and in the records of runs. */
const principalValue = /^[\x21-\x7e]{1,180}$/;

/**
 * The name of a caller begins with that of the issuer, so that it is never that of a principal of the file or of another issuer.
 * @throws Unauthenticated
 */
export function principalOf(name: string, { principal }: Issuer, claims: Claims): string {
  const value = valueAt(claims, principal);
  if (typeof value !== 'string' || !principalValue.test(value)) throw new Unauthenticated('its token does not say who the caller is');
  return `${name}:${value}`;
}

export function grantsOf({ grants }: Issuer, claims: Claims): ReadonlyMap<string, Role> {
  const granted = new Map<string, Role>();
  for (const { claim, is, roles } of grants) {
    const values = [valueAt(claims, claim)].flat();
    if (![is].flat().some((wanted) => values.includes(wanted))) continue;
    for (const [project, role] of Object.entries(roles)) if (!granted.has(project)) granted.set(project, role);
  }
  return granted;
}

function valueAt(claims: Claims, path: string | readonly string[]): unknown {
  let value: unknown = claims;
  for (const name of [path].flat()) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Claims)[name];
  }
  return value;
}
