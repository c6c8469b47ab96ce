/**
 * How an attempt at claimed work ends, and the log record for it. A worker that lost the claim writes nothing. An attempt that reached an outcome
 * records it. A failed attempt returns the work to the queue, or fails it for good if another attempt cannot help.
 */
import { hidePlaces } from '#errors/hide-places.js';
import { redacted } from '#errors/redact.js';
import type { Logger } from '#telemetry/logger.js';
import { type ClaimedLog, ClaimLost, WorkDeleted, WorkEnded } from './claimed-log.js';

/** The result of an attempt that did not fail. `kind` is its name in metrics and logs. */
export interface AttemptOutcome {
  readonly kind: string;
}

export interface AttemptEnds<E, V, O extends AttemptOutcome> {
  /** Number of attempts without progress after which the work fails. */
  readonly maxAttempts: number;
  /** What counts as progress, for messages: `a further checkpoint`. */
  readonly progress: string;
  /** True for failures that would happen again in every attempt. */
  readonly isDeterministic: (error: unknown) => boolean;
  /** Makes the record of an outcome from the newest view. */
  readonly ended: (outcome: O, view: V) => E;
  /** Makes the record of a failure. If `forGood` is true, the work has failed; otherwise it waits for its next attempt. */
  readonly failed: (reason: string, forGood: boolean) => E;
}

/** Owners of this work disappeared too many times in a row without making progress. */
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
 * Runs one attempt and records its end. Resolves to the kind of its outcome, or to `failed` (for good), `retried` (it waits for its next attempt) or
 * `lost` (another worker owns the work, or it was ended). @throws any error of writing the record
 */
export async function runToEnd<E, V, O extends AttemptOutcome>(
  claimed: ClaimedLog<E, V>,
  logger: Logger,
  { maxAttempts, progress, isDeterministic, ended, failed }: AttemptEnds<E, V, O>,
  run: () => Promise<O>,
): Promise<string> {
  try {
    // The newest claim counts too. If there are more than the limit, the last allowed one ended without a record.
    if (claimed.standing.fruitlessAttempts > maxAttempts) throw new TooManyAttempts(maxAttempts, progress);
    const outcome = await run();
    await claimed.append((view) => ended(outcome, view));
    return outcome.kind;
  } catch (error) {
    if (error instanceof ClaimLost || error instanceof WorkEnded || error instanceof WorkDeleted || claimed.signal.aborted) {
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

/** Describes an error in a record, which callers read: its class and message without places of this machine, cut if it is too long. */
export function describeFailure(error: unknown): string {
  const text = hidePlaces(redacted(error instanceof Error ? `${error.name}: ${error.message}` : String(error)));
  return text.length > longestReason ? `${text.slice(0, longestReason - 3)}...` : text;
}
