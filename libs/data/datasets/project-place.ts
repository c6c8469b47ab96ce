/**
 * A place that data sets are read from, and who may use it: a folder or the URI of a store, and after `#projects=` the ids of its projects, joined by
 * `+`. Without them, all projects may use it.
 *
 *     /data/common      /data/team#projects=birds+bees      s3://bucket/team?endpoint=https://…#projects=birds
 */
import { invalid } from '#errors/errors.js';
import { idPattern } from '#errors/resource-names.js';

export interface ProjectPlace {
  readonly place: string;
  /** Ids of the projects that may use it; undefined: all. */
  readonly projects: ReadonlySet<string> | undefined;
}

/** @param option for messages, for example `--root` @throws InvalidArgument */
export function parseProjectPlace(text: string, option: string): ProjectPlace {
  const [, place, list] = /^(.+)#projects=(.*)$/s.exec(text) ?? [];
  if (place === undefined || list === undefined) return { place: text, projects: undefined };
  const projects = list.split('+');
  if (!projects.every((id) => idPattern.test(id)))
    throw invalid(option, text, 'a place, or a place with #projects= and ids of projects that are joined by +');
  return { place, projects: new Set(projects) };
}

/** @param project undefined: whoever runs the process, who may use everything */
export const mayUse = ({ projects }: Pick<ProjectPlace, 'projects'>, project: string | undefined): boolean =>
  project === undefined || projects === undefined || projects.has(project);
