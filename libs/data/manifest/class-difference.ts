/** Says in which classes two data sets differ, for messages. */

/** Names that are shown of each kind, and the longest part of a name, in characters. */
const shownNames = 3;
const longestName = 24;

/**
 * How `classes` differ from `wanted`, as a part of a sentence whose subject is the data set: `lacks "cat" and has "dog" in addition`. Undefined
 * if they are equal, which includes their order, because a class is known by its position.
 */
export function classDifference(classes: readonly string[], wanted: readonly string[]): string | undefined {
  const [has, needs] = [new Set(classes), new Set(wanted)];
  const lacking = [...needs].filter((name) => !has.has(name));
  const further = [...has].filter((name) => !needs.has(name));
  if (lacking.length > 0 || further.length > 0) {
    const parts = [
      ...(lacking.length > 0 ? [`lacks ${listed(lacking)}`] : []),
      ...(further.length > 0 ? [`has ${listed(further)} in addition`] : []),
    ];
    return parts.join(' and ');
  }
  if (classes.length !== wanted.length) return `has ${classes.length} classes instead of ${wanted.length}`;
  const at = wanted.findIndex((name, label) => classes[label] !== name);
  if (at < 0) return undefined;
  return `has the same classes in another order: class ${at} is ${quoted(classes[at]!)} instead of ${quoted(wanted[at]!)}`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, shownNames).map(quoted).join(', ');
  return names.length <= shownNames ? shown : `${shown} and ${names.length - shownNames} more`;
}

function quoted(name: string): string {
  return JSON.stringify(name.length > longestName ? `${name.slice(0, longestName - 1)}…` : name);
}
