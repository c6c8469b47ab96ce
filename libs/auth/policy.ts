/**
 * Who may call what: the one table of every RPC and the roles that may call it, health and reflection included. A method that is not in it is refused.
 * It only counts where a service has identities; docs/reference/permissions.md is made from it. It also says what the audit writes down.
 */
import { PermissionDenied, Unauthenticated } from '#errors/errors.js';
import type { Identity } from './identity.js';

/**
 * A role counts in one project, or in all of them. `service` is for services that call each other, in the project that their request names. `scaler` is
 * for KEDA, which need not be able to do more than ask how much is wanted.
 */
export const roles = ['viewer', 'submitter', 'operator', 'service', 'scaler'] as const;
export type Role = (typeof roles)[number];

/** `anyone`: also without a credential. `known`: whoever has a valid one. Otherwise: whoever has one of the roles in the project of the request. */
export type Rule = 'anyone' | 'known' | readonly Role[];

const read: Rule = ['viewer', 'submitter', 'operator'];
const readOrServe: Rule = [...read, 'service'];
/** Changes nothing, but takes much of a service. */
const workOrServe: Rule = ['submitter', 'operator', 'service'];
/** Only workers call each other. */
const serve: Rule = ['service'];
/** Services ask each other, too. */
const scale: Rule = ['operator', 'service', 'scaler'];
// Methods with these rules change something.
const submit: Rule = ['submitter', 'operator'];
const submitOrServe: Rule = [...submit, 'service'];
const operate: Rule = ['operator'];
const changing: ReadonlySet<Rule> = new Set([submit, submitOrServe, operate]);

const rules: Readonly<Record<string, Rule>> = {
  'dropstream.v1.DataService/DescribeDataset': readOrServe,
  'dropstream.v1.DataService/GetBatch': workOrServe,
  'dropstream.v1.DataService/PreviewBatch': read,

  'dropstream.v1.EvaluatorService/CreateEvaluation': submitOrServe,
  'dropstream.v1.EvaluatorService/GetEvaluation': readOrServe,
  'dropstream.v1.EvaluatorService/ListEvaluations': read,
  'dropstream.v1.EvaluatorService/CancelEvaluation': submit,
  'dropstream.v1.EvaluatorService/DeleteEvaluation': operate,
  'dropstream.v1.EvaluatorService/WatchEvaluation': readOrServe,

  'dropstream.v1.GroupService/JoinGroup': serve,
  'dropstream.v1.GroupService/AnswerOrder': serve,
  'dropstream.v1.GroupService/LeaveGroup': serve,
  'dropstream.v1.GroupService/PutKey': serve,
  'dropstream.v1.GroupService/GetKey': serve,

  'dropstream.v1.SchedulerService/CreateSchedule': submit,
  'dropstream.v1.SchedulerService/GetSchedule': readOrServe,
  'dropstream.v1.SchedulerService/ListSchedules': read,
  'dropstream.v1.SchedulerService/UpdateSchedule': submit,
  'dropstream.v1.SchedulerService/DeleteSchedule': operate,
  'dropstream.v1.SchedulerService/PreviewSchedule': read,
  'dropstream.v1.SchedulerService/GetRates': read,
  'dropstream.v1.SchedulerService/WatchSchedule': readOrServe,

  'dropstream.v1.TrainerService/CreateRun': submit,
  'dropstream.v1.TrainerService/GetRun': read,
  'dropstream.v1.TrainerService/ListRuns': read,
  'dropstream.v1.TrainerService/DeleteRun': operate,
  'dropstream.v1.TrainerService/WatchRun': read,
  'dropstream.v1.TrainerService/GetRunSeries': read,
  'dropstream.v1.TrainerService/PauseRun': submit,
  'dropstream.v1.TrainerService/ResumeRun': submit,
  'dropstream.v1.TrainerService/CancelRun': submit,
  'dropstream.v1.TrainerService/ListCheckpoints': read,
  'dropstream.v1.TrainerService/GetCheckpoint': read,

  'externalscaler.ExternalScaler/IsActive': scale,
  'externalscaler.ExternalScaler/StreamIsActive': scale,
  'externalscaler.ExternalScaler/GetMetricSpec': scale,
  'externalscaler.ExternalScaler/GetMetrics': scale,
  'externalscaler.ExternalScaler/StreamMetricSpec': scale,

  // The probes of Kubernetes and of load balancers have no credential.
  'grpc.health.v1.Health/Check': 'anyone',
  'grpc.health.v1.Health/List': 'known',
  'grpc.health.v1.Health/Watch': 'known',
  'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': 'known',
  'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': 'known',
};

/** Requests of these may name no project, because they compute without reading anything: those with the schedule in the request. */
export const withoutProject: ReadonlySet<string> = new Set([
  'dropstream.v1.SchedulerService/GetRates',
  'dropstream.v1.SchedulerService/PreviewSchedule',
]);

/** Requests of these concern all projects, because workers serve all of them: the role must be one of all projects. */
export const ofEveryProject: ReadonlySet<string> = new Set(Object.keys(rules).filter((method) => rules[method] === scale));

/** Rules by method, e.g. `dropstream.v1.SchedulerService/GetRates`. */
export const policy: ReadonlyMap<string, Rule> = new Map(Object.entries(rules));

/** Methods that change something, which the audit writes down. */
export const mutations: ReadonlySet<string> = new Set([...policy].filter(([, rule]) => changing.has(rule)).map(([method]) => method));

/** The project of a grant that counts in every project. */
export const everyProject = '*';

/**
 * What can be decided before the request has been read: whether there is any project in which the caller may call the method.
 * @throws Unauthenticated, PermissionDenied
 */
export function checkMethod(identity: Identity | undefined, method: string): void {
  const rule = policy.get(method);
  if (rule === undefined) throw new PermissionDenied(method, 'no role may call it');
  if (rule === 'anyone') return;
  if (identity === undefined) throw new Unauthenticated('the call has no token, and no certificate with a URI');
  if (rule === 'known') return;
  for (const role of identity.grants.values()) if (rule.includes(role)) return;
  throw new PermissionDenied(method, `${identity.principal} has in no project a role that may call it (${rule.join(', ')})`);
}

/**
 * Whether the caller, who has passed checkMethod, may call the method for all of these projects. Only the methods of `withoutProject` and
 * `ofEveryProject` may have none.
 * @throws PermissionDenied
 */
export function checkProjects({ principal, grants }: Identity, method: string, projects: Iterable<string>): void {
  const rule = policy.get(method) ?? [];
  if (typeof rule === 'string') return;
  const everywhere = grants.get(everyProject);
  if (ofEveryProject.has(method)) {
    if (everywhere !== undefined && rule.includes(everywhere)) return;
    throw new PermissionDenied(method, `${principal} has no role in all projects that may call it (${rule.join(', ')})`);
  }
  let named = 0;
  for (const project of projects) {
    named++;
    const here = grants.get(project);
    if ((here !== undefined && rule.includes(here)) || (everywhere !== undefined && rule.includes(everywhere))) continue;
    throw new PermissionDenied(`project ${project}`, `${principal} has no role there that may call ${method} (${rule.join(', ')})`);
  }
  if (named === 0 && !withoutProject.has(method)) throw new PermissionDenied(method, 'the request names no project');
}
