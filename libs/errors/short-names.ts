/** Names that are short enough for people and still differ. */

/** The id of each resource, or `project/id` where several have the same id: `projects/p/runs/r` becomes `r` or `p/r`. */
export function shortNames(names: readonly string[]): readonly string[] {
  const ids = names.map((name) => name.split('/').at(-1) ?? name);
  return names.map((name, k) => (ids.filter((id) => id === ids[k]).length === 1 ? ids[k]! : `${name.split('/')[1] ?? ''}/${ids[k]}`));
}
