import { invalid } from '#errors/errors.js';

/** Labels may leave numbers out, but not so many that one of them is more likely damaged. */
const MAX_MISSING = 10_000;

/**
 * @param present how many different labels there are
 * @param nbClasses the number of classes where the caller knows it
 * @throws InvalidArgument
 */
export function checkLargestLabel(largest: number, present: number, place: string, nbClasses: number | undefined): void {
  if (nbClasses !== undefined) {
    if (largest >= nbClasses) throw invalid('data_path', place, `labels below --nb_classes ${nbClasses}; the largest is ${largest}`);
    return;
  }
  if (largest <= present + MAX_MISSING) return;
  throw invalid(
    'data_path',
    place,
    `labels at most ${MAX_MISSING} above the number of classes that are there (${present}); the largest is ${largest}. Give --nb_classes where that is right`,
  );
}
