/** Finds the members of a group whose weights differ from those of the others. */
import type { DigestAnswer } from '#protocol/dropstream/v1/group.js';
import type { Participant } from './participant.js';

/** The weights of the leader differ from those of most members: whoever claims the run next goes on from its last checkpoint. */
class Diverged extends Error {
  override readonly name = 'Diverged';
  constructor(
    readonly worker: string,
    readonly step: number,
    readonly tensors: readonly string[],
  ) {
    super(
      `the weights of the leader, ${worker}, differ after step ${step} from those of most workers in: ${tensors.slice(0, 8).join(', ')}`,
    );
  }
}

/** Whether two members have the same weights. */
export const sameWeights = (a: DigestAnswer, b: DigestAnswer): boolean => textOf(a) === textOf(b);

const textOf = ({ sha256 }: DigestAnswer): string => Buffer.concat(sha256).toString('hex');

/**
 * The leader is right unless more than half of all members agree on something else.
 * @returns those that differ, and in which parameters @throws Diverged if it is the leader
 */
export function compareDigests(
  step: number,
  answers: ReadonlyMap<Participant, DigestAnswer>,
  leader: Participant,
  parameters: readonly string[],
): { readonly member: Participant; readonly tensors: string[] }[] {
  const counts = new Map<string, number>();
  for (const answer of answers.values()) counts.set(textOf(answer), (counts.get(textOf(answer)) ?? 0) + 1);
  const own = answers.get(leader) as DigestAnswer;
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  const isRight = (answer: DigestAnswer): boolean =>
    most !== undefined && 2 * most[1] > answers.size ? textOf(answer) === most[0] : textOf(answer) === textOf(own);
  const right = [...answers.values()].find(isRight) as DigestAnswer;
  const tensorsOf = ({ sha256 }: DigestAnswer): string[] =>
    parameters.filter((_, k) => Buffer.compare(sha256[k] ?? Buffer.of(), right.sha256[k] ?? Buffer.of()) !== 0);
  if (!isRight(own)) throw new Diverged(leader.worker, step, tensorsOf(own));
  return [...answers].flatMap(([member, answer]) => (isRight(answer) ? [] : [{ member, tensors: tensorsOf(answer) }]));
}
