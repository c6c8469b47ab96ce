/** Limits that several parts share. */

/** Largest number of classes of a data set and of a model's head. */
export const maxClasses = 100_000;

/**
 * Largest size in bytes of the names of all classes of a data set, with 8 bytes more for each class: with their counts, they fit into an answer of
 * 4 MiB, which is what gRPC clients accept by default.
 */
export const maxClassNameBytes = (4 << 20) - (64 << 10);
