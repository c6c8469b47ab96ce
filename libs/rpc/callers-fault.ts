/**
 * grpc-js answers requests that it cannot read with INTERNAL, which says that the service is at fault. Here they get INVALID_ARGUMENT. These statuses
 * pass no interceptor, so the call that grpc-js gives to the first one is told how to send them.
 */
import { status } from '@grpc/grpc-js';
import { invalid } from '#errors/errors.js';
import { toStatus } from './status.js';

/** The part of a call of grpc-js, and of its statuses, that this needs. */
interface Sent {
  readonly code?: status | null;
  readonly details?: string | null;
}
interface Sending {
  sendStatus(sent: Sent): void;
}

/** What grpc-js says where the caller is at fault, and what is right instead. callers-fault.test.ts provokes each. */
const faults: readonly (readonly [RegExp, string, string])[] = [
  [/^Error deserializing request/, 'request', 'a whole message of the type that the method takes, without a key __proto__'],
  [/^Failed to decompress message/, 'request', 'compressed as the header grpc-encoding says'],
  [/^Invalid grpc-timeout/, 'grpc-timeout', 'one to eight digits and a unit: H, M, S, m, u or n'],
];

/** @param onRefused is told the code of each status that was changed */
export function blameCaller(call: Sending, onRefused: (code: status) => void): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (sent) => {
    const fault = sent.code === status.INTERNAL ? faults.find(([said]) => said.test(sent.details ?? '')) : undefined;
    if (fault === undefined) return send(sent);
    const [, field, allowed] = fault;
    const refused = toStatus(invalid(field, '', allowed), () => {});
    onRefused(refused.code);
    send(refused);
  };
}

/** How a key `__proto__` of a map is written: its length, and before that the tag of the first field of an entry. */
const protoKey = Buffer.concat([Buffer.from([0x0a, 9]), Buffer.from('__proto__')]);

/**
 * Decodes as `deserialize` does, but refuses a key `__proto__`, which the generated code would drop without a word. A message or a name that consists
 * of these bytes is refused, too; none is valid.
 */
export function withoutProtoKeys<T>(deserialize: (bytes: Buffer) => T): (bytes: Buffer) => T {
  return (bytes) => {
    if (bytes.includes(protoKey)) throw new TypeError('a key __proto__');
    return deserialize(bytes);
  };
}
