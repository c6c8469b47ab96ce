/**
 * Authorisation of a call by the parsed resource names of its request, before its handler runs. The role of the caller decides (libs/auth/policy.ts)
 * where the service has identities. Besides, a caller that names its project in the metadata is held to that project, which prevents mistakes.
 */
import type { Metadata } from '@grpc/grpc-js';
import type { Identity } from '#auth/identity.js';
import { checkProjects } from '#auth/policy.js';
import { PermissionDenied } from '#errors/errors.js';
import type { NamedField } from './request-names.js';

/** Metadata key with which a caller names the project that it acts for. */
export const projectKey = 'dropstream-project';

export interface AuthorizeCall {
  /** e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly method: string;
  readonly metadata: Metadata;
  /** undefined where the service admits callers without identities; admit-calls.ts has refused the call otherwise. */
  readonly identity: Identity | undefined;
  /** Every resource that the request names, with its kind, its ids and its field. All names are well-formed. */
  readonly names: readonly NamedField[];
}

/** @throws PermissionDenied unless the call is permitted */
export function authorizeCall({ method, metadata, identity, names }: AuthorizeCall): void {
  const mine = metadata.get(projectKey)[0];
  const other = mine === undefined ? undefined : names.find(({ project }) => project !== mine);
  if (other !== undefined) throw new PermissionDenied(`project ${other.project}`, `the call is made for project ${String(mine)}`);
  if (identity) checkProjects(identity, method, new Set(names.map(({ project }) => project)));
}
