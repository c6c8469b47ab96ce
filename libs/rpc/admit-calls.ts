/**
 * Finds out who calls, for every call, health and reflection included, before its request is read. Refuses callers that are not known, and methods that
 * the caller may not call in any project; authorize.ts then decides by the projects that the request names.
 */
import type { Metadata, ServerInterceptingCall } from '@grpc/grpc-js';
import { type Identify, type Identity, type ShownCertificate, uriNames } from '#auth/identity.js';
import { checkMethod } from '#auth/policy.js';
import { type GrpcStatus, toStatus } from './status.js';

/** Who made a call, by its metadata. */
export type KnownCallers = WeakMap<Metadata, Identity>;

/** The part of grpc-js that knows the connection of a call. */
type Connected = Pick<ServerInterceptingCall, 'getAuthContext'>;

/** The status of a call that is refused; undefined: it goes on. @param method e.g. `dropstream.v1.SchedulerService/GetRates` */
export type Admit = (method: string, metadata: Metadata, call: Connected) => GrpcStatus | undefined | Promise<GrpcStatus | undefined>;

/** @param known receives the identity of each call whose caller is known */
export function admitKnown(identify: Identify, known: KnownCallers): Admit {
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
      const identity = identify({ authorization, certificate: () => certificateOf(call) });
      return identity instanceof Promise ? identity.then(admit).catch(refuse) : admit(identity);
    } catch (error) {
      return refuse(error);
    }
  };
}

function certificateOf(call: Connected): ShownCertificate | undefined {
  const certificate = call.getAuthContext().sslPeerCertificate;
  return certificate && { uris: uriNames(certificate.subjectaltname), fingerprint: certificate.fingerprint256 };
}
