import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const deployPath = (path: string): string => fileURLToPath(new URL(`../../deploy/${path}`, import.meta.url));

export interface DashboardPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

/** The panels of every Grafana dashboard, by the name of its file. */
export function dashboardPanels(): ReadonlyMap<string, readonly DashboardPanel[]> {
  const folder = deployPath('grafana/dashboards/');
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return new Map(
    files.map((name) => [name, (JSON.parse(readFileSync(`${folder}${name}`, 'utf8')) as { panels: DashboardPanel[] }).panels]),
  );
}

/**
 * Every query of every dashboard, as Grafana sends it with all values of the dashboard's variables chosen.
 * @param interval what `$__rate_interval` is
 */
export function dashboardQueries(interval: string): { readonly where: string; readonly expr: string }[] {
  return [...dashboardPanels()].flatMap(([file, panels]) =>
    panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({
        where: `${file}, ${title}`,
        expr: expr.replaceAll('$__rate_interval', interval).replaceAll(/\$(project|run)\b/g, '.*'),
      })),
    ),
  );
}
