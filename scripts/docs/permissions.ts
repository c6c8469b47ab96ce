/** The page of roles and what each may call, from the policy that services use, and of what a call may show, from the states that a test walks through. */
import { ofEveryProject, policy, type Rule, roles, withoutProject } from '../../libs/auth/policy.js';
import { type Answer, answerTo, type Concern, type CredentialState, states, transports } from '../../test/support/permission-states.js';
import { code, generatedFrom, table } from './markdown.js';

export function permissionsPage(): string {
  const rows = [...policy].map(([method, rule]) => [
    code(method),
    ...roles.map((role) => (typeof rule === 'string' || rule.includes(role) ? 'yes' : '')),
    rule === 'anyone' ? 'yes' : '',
  ]);
  return `${[
    generatedFrom('libs/auth/policy.ts and test/support/permission-states.ts'),
    '# Permissions',
    '',
    'Which role may call which RPC of a service that has identities ([Deploying](../deploying.md#identities) explains them). A role counts in the projects',
    'that it was given in, and every project that a request names is checked. A request of the data service without a `parent` is for',
    `\`projects/default\`. Requests that concern no project (${[...withoutProject].map((method) => code(method.split('/')[1]!)).join(', ')}) need such a role in any project. Methods that are`,
    `not listed are refused. The role \`service\` is for services that call each other, and \`scaler\` for KEDA. The methods of ${[...new Set([...ofEveryProject].map((method) => code(method.split('/')[0]!)))].join(', ')}`,
    'concern all projects, and need such a role in all projects (`*`).',
    '',
    ...table(['RPC', ...roles, 'without a credential'], rows),
    '',
    '## Credentials and transports',
    '',
    'What follows from the credential that a call shows. "By role" means that the table above decides, and the answer is `PERMISSION_DENIED` where it has no',
    '"yes". A token or a JWT counts before the certificate of the connection. A test calls every RPC with every role in each of these states.',
    '',
    ...table(
      [
        'credential',
        'transport',
        'Health/Check',
        'other health, reflection',
        'RPC that names the project',
        'RPC that names none',
        'RPC for all projects',
      ],
      stateRows(),
    ),
  ].join('\n')}\n`;
}

/** States with equal answers share a row. */
function stateRows(): string[][] {
  const rows = new Map<string, { answers: string[]; over: string; named: Map<string, string[]> }>();
  for (const state of states) {
    const over = state.over.length === transports.length ? 'any' : state.over.join(', ');
    const answers = answersOf(state);
    const key = [over, ...answers].join();
    const row = rows.get(key) ?? { answers, over, named: new Map<string, string[]>() };
    rows.set(key, row);
    row.named.set(state.kind, [...(row.named.get(state.kind) ?? []), state.name]);
  }
  return [...rows.values()].map(({ answers, over, named }) => [
    [...named].map(([kind, names]) => (kind === 'none' ? 'none' : `${kind} ${names.join(', ')}`)).join('; '),
    over,
    ...answers,
  ]);
}

function answersOf({ effect }: CredentialState): string[] {
  const shown = (answer: Answer): string => (/^[A-Z_]+$/.test(answer) ? code(answer) : answer);
  const byRole = (concern: Concern): string => {
    const rule: Rule = ['viewer'];
    const [may, mayNot] = [answerTo(effect, rule, 'viewer', concern), answerTo(effect, rule, 'operator', concern)];
    return may === mayNot ? shown(may) : 'by role';
  };
  return [
    shown(answerTo(effect, 'anyone', 'viewer', 'no project')),
    shown(answerTo(effect, 'known', 'viewer', 'no project')),
    byRole('a project'),
    byRole('no project'),
    byRole('all projects'),
  ];
}
