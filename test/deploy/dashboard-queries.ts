import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const deployPath = (path: string): string => fileURLToPath(new URL(`../../deploy/${path}`, import.meta.url));

/** Every PromQL expression of the Grafana dashboard, in order of panels. */
export function dashboardQueries(): string[] {
  const { panels } = JSON.parse(readFileSync(deployPath('grafana/dashboards/dropstream.json'), 'utf8')) as {
    panels: { targets?: { expr: string }[] }[];
  };
  return panels.flatMap((panel) => (panel.targets ?? []).map((target) => target.expr));
}

/** The expressions of the rules file: each is a JSON string after `expr:`. */
export function ruleQueries(): string[] {
  const text = readFileSync(deployPath('prometheus/dashboard-queries.rules.yaml'), 'utf8');
  return [...text.matchAll(/^\s+expr: (".*")$/gm)].map(([, json]) => JSON.parse(json!) as string);
}
