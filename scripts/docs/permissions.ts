/** The page of roles and what each may call, from the policy that services use. */
import { policy, roles, withoutProject } from '../../libs/auth/policy.js';
import { code, generatedFrom, table } from './markdown.js';

export function permissionsPage(): string {
  const rows = [...policy].map(([method, rule]) => [
    code(method),
    ...roles.map((role) => (typeof rule === 'string' || rule.includes(role) ? 'yes' : '')),
    rule === 'anyone' ? 'yes' : '',
  ]);
  return `${[
    generatedFrom('libs/auth/policy.ts'),
    '# Permissions',
    '',
    'Which role may call which RPC of a service that has identities ([Deploying](../deploying.md#identities) explains them). A role counts in the projects',
    'that it was given in, and every project that a request names is checked. A request of the data service without a `parent` is for',
    `\`projects/default\`. Requests that concern no project (${[...withoutProject].map((method) => code(method.split('/')[1]!)).join(', ')}) need such a role in any project. Methods that are`,
    'not listed are refused. The role `service` is for services that call each other.',
    '',
    ...table(['RPC', ...roles, 'without a credential'], rows),
  ].join('\n')}\n`;
}
