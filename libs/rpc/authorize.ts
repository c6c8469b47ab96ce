/**
 * Authorisation of calls: the authorizer sees every call, with the parsed resource names of its request, before its handler runs. The default only
 * restricts a caller that names its project in the metadata to that project. A deployment that knows identities replaces it, and decides by
 * certificate or token.
 */
import type { Metadata } from '@grpc/grpc-js';
import { PermissionDenied } from '#errors/errors.js';
import type { NamedField } from './request-names.js';

/** Metadata key with which a caller names the project that it acts for. */
export const projectKey = 'dropstream-project';

export interface AuthorizeCall {
  /** e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly method: string;
  readonly metadata: Metadata;
  readonly peer: string;
  /** Every resource that the request names, with its kind, its ids and its field. All names are well-formed. */
  readonly names: readonly NamedField[];
}

/** Returns if the call is permitted; throws PermissionDenied otherwise. */
export type Authorize = (call: AuthorizeCall) => void | Promise<void>;

export const sameProject: Authorize = ({ metadata, names }) => {
  const mine = metadata.get(projectKey)[0];
  if (mine === undefined) return;
  const other = names.find(({ project }) => project !== mine);
  if (other !== undefined) throw new PermissionDenied(`project ${other.project}`, `the call is made for project ${String(mine)}`);
};
