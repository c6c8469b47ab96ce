/** Words for the enums of protobuf's JSON, where a value is its proto name. */

/** Prefixes of the enums whose values are shown. */
const prefixes =
  /^(ENGINE|PRECISION|OPTIMIZER|DROP_MODE|DROP_SCHEDULE|DROP_KIND|DROP_CUTOFF|TRAIN_INTERPOLATION|ERASE_MODE|MIXUP_MODE|EVALUATION_STATE)_/;

/** The word of an enum's value: DROP_MODE_EARLY is early. */
export const enumWord = (value: string | undefined): string => (value ?? '').replace(prefixes, '').toLowerCase();
