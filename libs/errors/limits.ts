/** Limits that several parts share. */

/** Largest number of classes of a data set and of a model's head. */
export const maxClasses = 100_000;
