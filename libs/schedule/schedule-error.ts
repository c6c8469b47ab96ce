/** Errors about arguments of schedules. Pure data: a service turns it into its own error. */

/** One rejected argument; `allowed` completes the sentence "<field> is <value>, must be …". */
export interface ScheduleViolation {
  /** Name of the argument as in proto and CLI, e.g. `cutoff_epoch`. */
  readonly field: string;
  readonly value: string;
  readonly allowed: string;
}

/** Arguments that do not make a schedule. Lists all violations at once. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError';
  constructor(readonly violations: readonly ScheduleViolation[]) {
    super(violations.map(({ field, value, allowed }) => `${field} is ${value}, must be ${allowed}`).join('; '));
  }
}

/** Collects violations while arguments are checked. */
export class ScheduleChecks {
  readonly violations: ScheduleViolation[] = [];

  check(holds: boolean, field: string, value: unknown, allowed: string): boolean {
    if (!holds) this.violations.push({ field, value: String(value), allowed });
    return holds;
  }

  /** Checks for an integer from min to max. */
  integer(field: string, value: number, min: number, max: number): boolean {
    return this.check(Number.isSafeInteger(value) && value >= min && value <= max, field, value, `an integer from ${min} to ${max}`);
  }

  throwIfAny(): void {
    if (this.violations.length > 0) throw new ScheduleError(this.violations);
  }
}
