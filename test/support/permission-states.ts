/**
 * What a call may show, by transport, and what follows from it. permissions.test.ts calls every RPC in each of these states; the page of permissions is
 * made from them.
 */
import type { Role, Rule } from '#auth/policy.js';

export const transports = ['plain text', 'TLS', 'mutual TLS'] as const;
export type Transport = (typeof transports)[number];

/**
 * `nobody`: the caller has shown nothing. `refused`: what it has shown does not count. `elsewhere`: its role counts in another project than that of the
 * request. `here`: in that project. `everywhere`: in all projects. `unconnected`: there is no connection.
 */
export type Effect = 'nobody' | 'refused' | 'elsewhere' | 'here' | 'everywhere' | 'unconnected';

export interface CredentialState {
  readonly kind: 'none' | 'token' | 'JWT' | 'certificate';
  readonly name: string;
  readonly over: readonly Transport[];
  readonly effect: Effect;
}

const state = (kind: CredentialState['kind'], name: string, effect: Effect, over: readonly Transport[] = transports): CredentialState => ({
  kind,
  name,
  over,
  effect,
});
const mutual: readonly Transport[] = ['mutual TLS'];

export const states: readonly CredentialState[] = [
  state('none', 'none', 'nobody', ['plain text', 'TLS']),
  state('token', 'malformed', 'refused'),
  state('token', 'of another scheme', 'refused'),
  state('token', 'with another secret', 'refused'),
  state('token', 'unknown', 'refused'),
  state('token', 'expired', 'refused'),
  state('token', 'revoked', 'refused'),
  state('token', 'of another project', 'elsewhere'),
  state('token', 'of the project', 'here'),
  state('token', 'of all projects', 'everywhere'),
  state('JWT', 'unsigned', 'refused'),
  state('JWT', 'of another issuer', 'refused'),
  state('JWT', 'with another key', 'refused'),
  state('JWT', 'for another audience', 'refused'),
  state('JWT', 'expired', 'refused'),
  state('JWT', 'revoked', 'refused'),
  state('JWT', 'of another project', 'elsewhere'),
  state('JWT', 'of the project', 'here'),
  state('JWT', 'of all projects', 'everywhere'),
  state('certificate', 'none', 'unconnected', mutual),
  state('certificate', 'of another authority', 'unconnected', mutual),
  state('certificate', 'expired', 'unconnected', mutual),
  state('certificate', 'without a URI', 'nobody', mutual),
  state('certificate', 'unknown', 'refused', mutual),
  state('certificate', 'revoked', 'refused', mutual),
  state('certificate', 'of another project', 'elsewhere', mutual),
  state('certificate', 'of the project', 'here', mutual),
  state('certificate', 'of all projects', 'everywhere', mutual),
];

export type Answer = 'yes' | 'UNAUTHENTICATED' | 'PERMISSION_DENIED' | 'no connection';

/** What the request of a call concerns. */
export type Concern = 'a project' | 'no project' | 'all projects';

/** What a call is answered. */
export function answerTo(effect: Effect, rule: Rule, role: Role, concern: Concern): Answer {
  if (effect === 'unconnected') return 'no connection';
  if (effect === 'refused') return 'UNAUTHENTICATED';
  if (rule === 'anyone') return 'yes';
  if (effect === 'nobody') return 'UNAUTHENTICATED';
  if (rule === 'known') return 'yes';
  const counts = effect === 'everywhere' || (effect === 'here' ? concern !== 'all projects' : concern === 'no project');
  return rule.includes(role) && counts ? 'yes' : 'PERMISSION_DENIED';
}
