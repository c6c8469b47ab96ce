/**
 * The auth seam: sees every call, with the parsed resource names of its request, before its handler. The default binds a caller that names
 * its project in the metadata to that project; a deployment with identities replaces it and decides by certificate or token.
 */
import type { Metadata } from '@grpc/grpc-js';
import { PermissionDenied } from '#errors/errors.js';
import type { NamedField } from './request-names.js';

/** Metadata key by which a caller says which project it acts for. */
export const projectKey = 'dropstream-project';

export interface AuthorizeCall {
  /** e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly method: string;
  readonly metadata: Metadata;
  readonly peer: string;
  /** Every resource that the request names, with its kind, its ids and the field that holds it; well-formed. */
  readonly names: readonly NamedField[];
}

/** Returns for a permitted call, throws PermissionDenied otherwise. */
export type Authorize = (call: AuthorizeCall) => void | Promise<void>;

export const sameProject: Authorize = ({ metadata, names }) => {
  const mine = metadata.get(projectKey)[0];
  if (mine === undefined) return;
  const other = names.find(({ project }) => project !== mine);
  if (other !== undefined) throw new PermissionDenied(`project ${other.project}`, `the call is made for project ${String(mine)}`);
};
