/** Limits that several parts must agree on. */

/** Most classes of a data set and of a model's head. */
export const maxClasses = 100_000;
