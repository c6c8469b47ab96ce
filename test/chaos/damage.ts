/** What the storm damages on purpose, so that checks can tell it from what goes wrong. */
export class Damage {
  /** Keys of parts of checkpoints. */
  readonly parts = new Set<string>();
  /** Names of checkpoints that were damaged before anybody could evaluate them: their evaluations must fail. */
  readonly unevaluable = new Set<string>();

  /** Names of all checkpoints of which a part is damaged. A key has the uid of the run as well. */
  get checkpoints(): ReadonlySet<string> {
    return new Set([...this.parts].map((key) => key.replace(/\/[^/]+(\/checkpoints\/[^/]+)\/[^/]+$/, '$1')));
  }
}
