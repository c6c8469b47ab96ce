/**
 * Finds out who calls, for every call, health and reflection included, before its request is read. Refuses callers that are not known, and methods that
 * the caller may not call in any project; authorize.ts then decides by the projects that the request names.
 */
import type { Http2Session } from 'node:http2';
import type { Metadata, ServerInterceptingCall } from '@grpc/grpc-js';
import { type Identify, type Identity, type ShownCertificate, uriNames } from '#auth/identity.js';
import { checkMethod } from '#auth/policy.js';
import { sessionOf } from './connection-signal.js';
import { type GrpcStatus, toStatus } from './status.js';

/** Who made a call, by its metadata. */
export type KnownCallers = WeakMap<Metadata, Identity>;

/** The part of grpc-js that knows the connection of a call. */
type Connected = Pick<ServerInterceptingCall, 'getAuthContext'>;

/** What a connection has shown last, and whose it is: most connections show the same with every call. */
interface LastShown {
  readonly authorization: string;
  readonly identity: Identity;
}

/** The status of a call that is refused; undefined: it goes on. @param method e.g. `dropstream.v1.SchedulerService/GetRates` */
export type Admit = (method: string, metadata: Metadata, call: Connected) => GrpcStatus | undefined | Promise<GrpcStatus | undefined>;

/** @param known receives the identity of each call whose caller is known */
export function admitKnown(identify: Identify, known: KnownCallers): Admit {
  const last = new WeakMap<Http2Session, LastShown>();
  return (method, metadata, call) => {
    const admit = (identity: Identity | undefined): undefined => {
      // A refusal is written down with the name, too.
      if (identity) known.set(metadata, identity);
      checkMethod(identity, method);
    };
    // An error that identify and checkMethod do not declare says no more than INTERNAL.
    const refuse = (error: unknown): GrpcStatus => toStatus(error, () => {});
    try {
      const authorization = metadata.get('authorization').map(String);
      const session = sessionOf(call);
      const before = session && authorization.length === 1 ? last.get(session) : undefined;
      if (before?.authorization === authorization[0] && before?.identity.ended.aborted === false) return admit(before.identity);
      const found = (identity: Identity | undefined): undefined => {
        if (identity && session && authorization.length === 1) last.set(session, { authorization: authorization[0]!, identity });
        admit(identity);
      };
      const identity = identify({ authorization, certificate: () => certificateOf(call, session) });
      return identity instanceof Promise ? identity.then(found).catch(refuse) : found(identity);
    } catch (error) {
      return refuse(error);
    }
  };
}

/** Parsing a certificate takes a tenth of the time of a small call, and a connection keeps the one that it began with. */
const certificates = new WeakMap<Http2Session, ShownCertificate>();

function certificateOf(call: Connected, session: Http2Session | undefined): ShownCertificate | undefined {
  const known = session && certificates.get(session);
  if (known) return known;
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (certificate === undefined) return undefined;
  const shown = { uris: uriNames(certificate.subjectaltname), fingerprint: certificate.fingerprint256 };
  if (session) certificates.set(session, shown);
  return shown;
}
