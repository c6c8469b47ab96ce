/**
 * The interceptor that finds out who calls, for every call, health and reflection included. It refuses callers that are not known, and methods that
 * the caller may not call in any project; authorize.ts then decides by the projects that the request names.
 */
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { type Identify, type Identity, type ShownCertificate, uriNames } from '#auth/identity.js';
import { checkMethod } from '#auth/policy.js';
import { toStatus } from './status.js';

export type KnownCallers = WeakMap<Metadata, Identity>;

/** The part of grpc-js that knows the connection of a call. */
type Connected = Pick<ServerInterceptingCall, 'getAuthContext'>;

/** @param known receives the identity of each admitted call, by its metadata */
export function authenticateCalls(identify: Identify, known: KnownCallers): ServerInterceptor {
  return (definition, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            try {
              const identity = identify({
                authorization: metadata.get('authorization').map(String),
                certificate: () => certificateOf(call),
              });
              checkMethod(identity, definition.path.slice(1));
              if (identity) known.set(metadata, identity);
            } catch (error) {
              // Nothing but its own errors can happen here, so an unexpected one says no more than INTERNAL.
              call.sendStatus(toStatus(error, () => {}));
              return;
            }
            proceed(metadata);
          },
        }),
    });
}

function certificateOf(call: Connected): ShownCertificate | undefined {
  const certificate = call.getAuthContext().sslPeerCertificate;
  return certificate && { uris: uriNames(certificate.subjectaltname), fingerprint: certificate.fingerprint256 };
}
