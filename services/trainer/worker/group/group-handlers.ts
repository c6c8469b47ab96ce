/** Handlers of GroupService: what the other workers of a run call. They validate, call, respond. */
import { GroupServiceService } from '#protocol/dropstream/v1/group.js';
import { type BoundService, serverStream, service, unary } from '#rpc/handlers.js';
import type { RequestNames } from '#rpc/request-names.js';
import type { GroupDoors } from './doors.js';

/** Which fields of the requests hold resource names. */
export const groupNames = {
  joinGroup: { run: 'run', runUid: 'text', worker: 'text', fingerprint: 'text' },
  answerOrder: { run: 'run', member: 'text', answer: { failure: { reason: 'text' } } },
  leaveGroup: { run: 'run', member: 'text' },
  putKey: { run: 'run', member: 'text', key: 'text' },
  getKey: { run: 'run', member: 'text', key: 'text' },
} as const satisfies RequestNames<typeof GroupServiceService>;

export function groupService(doors: GroupDoors): BoundService {
  return service(GroupServiceService, groupNames, {
    joinGroup: serverStream(async function* ({ run, runUid, fence, worker, fingerprint, step }, { signal }) {
      const member = doors.enter({
        run,
        uid: runUid,
        fence: Number(fence),
        worker,
        fingerprint,
        step: step === undefined ? undefined : Number(step),
      });
      const end = (): void => member.lose('its connection has ended');
      signal.addEventListener('abort', end, { once: true });
      try {
        yield* member.messages();
      } finally {
        signal.removeEventListener('abort', end);
        end();
      }
    }),
    answerOrder: unary((request) => {
      doors.memberOf(request.member).member.answer(request);
      return {};
    }),
    leaveGroup: unary(({ member, ifSpared }) => {
      doors.memberOf(member).member.leave(ifSpared);
      return {};
    }),
    putKey: unary(({ member, generation, key, value }) => {
      doors.memberOf(member).door.rendezvous.put(Number(generation), key, value);
      return {};
    }),
    getKey: unary(async ({ member, generation, key }, { signal }) => {
      const { door, member: known } = doors.memberOf(member);
      const value = await door.rendezvous.get(Number(generation), key, AbortSignal.any([signal, known.lost]));
      return { value: Buffer.from(value) };
    }),
  });
}
