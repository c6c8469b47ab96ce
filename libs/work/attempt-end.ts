/**
 * How an attempt at claimed work ends, and the record that says so. Whoever lost the claim writes nothing; an attempt that reached an
 * outcome writes it; one that failed gives the work back to the queue, or fails it for good where another attempt cannot help.
 */
import type { Logger } from '#telemetry/logger.js';
import { type ClaimedLog, ClaimLost, WorkEnded } from './claimed-log.js';

/** What an attempt came to, without failing: `kind` is its name in metrics and logs. */
export interface AttemptOutcome {
  readonly kind: string;
}

export interface AttemptEnds<E, V, O extends AttemptOutcome> {
  /** Attempts without progress after which the work fails. */
  readonly maxAttempts: number;
  /** What counts as progress, for messages: `a further checkpoint`. */
  readonly progress: string;
  /** True for failures that every further attempt would meet again. */
  readonly isDeterministic: (error: unknown) => boolean;
  /** The record of an outcome; `view` is the newest one. */
  readonly ended: (outcome: O, view: V) => E;
  /** The record of a failure. `forGood`: the work has failed; otherwise it waits for its next attempt. */
  readonly failed: (reason: string, forGood: boolean) => E;
}

/** The owners of this work vanished again and again before it got any further. */
class TooManyAttempts extends Error {
  override readonly name = 'TooManyAttempts';
  constructor(
    readonly attempts: number,
    progress: string,
  ) {
    super(`${attempts} attempts in a row ended without ${progress}; the workers' logs say why`);
  }
}

/** Longest reason in a record, in characters. */
const longestReason = 2000;

/**
 * Runs one attempt and records its end. Resolves to the kind of its outcome, or to `failed` (for good), `retried` (it waits for its next
 * attempt) or `lost` (somebody else owns or ended the work). @throws what writing the end throws
 */
export async function runToEnd<E, V, O extends AttemptOutcome>(
  claimed: ClaimedLog<E, V>,
  logger: Logger,
  { maxAttempts, progress, isDeterministic, ended, failed }: AttemptEnds<E, V, O>,
  run: () => Promise<O>,
): Promise<string> {
  try {
    // The newest claim counts itself: more than the limit means that the last allowed one ended without a word.
    if (claimed.standing.fruitlessAttempts > maxAttempts) throw new TooManyAttempts(maxAttempts, progress);
    const outcome = await run();
    await claimed.append((view) => ended(outcome, view));
    return outcome.kind;
  } catch (error) {
    if (error instanceof ClaimLost || error instanceof WorkEnded || claimed.signal.aborted) {
      logger.info({ reason: describeFailure(claimed.signal.reason ?? error) }, 'the work is no longer ours');
      return 'lost';
    }
    const forGood = isDeterministic(error) || claimed.standing.fruitlessAttempts >= maxAttempts;
    logger.error({ error, hopeless: forGood }, 'the attempt failed');
    const reason = describeFailure(error);
    await claimed.append(() => failed(reason, forGood));
    return forGood ? 'failed' : 'retried';
  }
}

/** An error as a reason in a record: its class and message, cut where it is too long. */
export function describeFailure(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.length > longestReason ? `${text.slice(0, longestReason - 3)}...` : text;
}
