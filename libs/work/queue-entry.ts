/** One piece of work in a queue. */
export interface QueueEntry {
  readonly project: string;
  readonly id: string;
  /** Which incarnation of the name: the work of an earlier one is other work. */
  readonly uid: string;
}

export const keyOfEntry = ({ project, id, uid }: QueueEntry): string => `${project}/${id}/${uid}`;
