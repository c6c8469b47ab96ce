/** The JSON that Grafana reads (schema 39), from our description of a dashboard. Equal descriptions give equal text. */
import type { Dashboard, Panel } from './dashboard.js';

const source = { type: 'prometheus', uid: '$datasource' };
const COLUMNS = 24;

/** Text of the dashboard's file. */
export function grafanaJson(dashboard: Dashboard): string {
  const model = {
    uid: `dropstream-${dashboard.id}`,
    title: `Dropstream: ${dashboard.title}`,
    description: dashboard.description,
    tags: ['dropstream'],
    timezone: 'browser',
    schemaVersion: 39,
    version: 1,
    editable: false,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    links: [{ type: 'dashboards', title: 'Dropstream', tags: ['dropstream'], asDropdown: true, includeVars: false, keepTime: true }],
    annotations: { list: [] },
    templating: { list: [dataSource, ...(dashboard.choices ?? []).map(choice)] },
    panels: placed(dashboard),
  };
  return `${JSON.stringify(model, null, 2)}\n`;
}

const dataSource = { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', regex: '', hide: 0, refresh: 1 };

function choice({ label, of }: { readonly label: string; readonly of: string }): object {
  const query = `label_values(${of}, ${label})`;
  return {
    name: label,
    label: `${label.charAt(0).toUpperCase()}${label.slice(1)}`,
    type: 'query',
    datasource: source,
    definition: query,
    query: { query, refId: label },
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
    // Looked up for every span of time: the series of a run end with the run.
    refresh: 2,
    sort: 1,
  };
}

/** Panels go from left to right, and begin a new line where the next one does not fit. */
function placed({ rows }: Dashboard): object[] {
  const out: object[] = [];
  let y = 0;
  for (const row of rows) {
    out.push({ id: out.length + 1, type: 'row', title: row.title, collapsed: false, gridPos: { x: 0, y, w: COLUMNS, h: 1 }, panels: [] });
    y += 1;
    let [x, height] = [0, 0];
    for (const panel of row.panels) {
      if (x + panel.width > COLUMNS) {
        y += height;
        [x, height] = [0, 0];
      }
      out.push({ id: out.length + 1, gridPos: { x, y, w: panel.width, h: panel.height }, ...body(panel) });
      x += panel.width;
      height = Math.max(height, panel.height);
    }
    y += height;
  }
  return out;
}

function body({ type, title, description, unit, queries, min, warn }: Panel): object {
  const steps = warn && [
    { color: 'green', value: null },
    { color: 'yellow', value: warn.from },
    { color: 'red', value: warn.bad },
  ];
  return {
    type,
    title,
    ...(description === undefined ? {} : { description }),
    datasource: source,
    fieldConfig: {
      defaults: {
        // Grafana has no unit for cores.
        unit: unit === 'cores' ? 'short' : unit,
        ...(min === undefined ? {} : { min }),
        ...(type === 'timeseries' ? { custom: { lineWidth: 2, fillOpacity: 6, showPoints: 'never' } } : {}),
        ...(steps === undefined ? {} : { color: { mode: 'thresholds' }, thresholds: { mode: 'absolute', steps } }),
      },
      overrides: [],
    },
    options: optionsOf(type),
    targets: queries.map(({ expr, legend }, k) => ({
      refId: String.fromCharCode(65 + k),
      datasource: source,
      expr,
      legendFormat: legend,
      ...(type === 'timeseries' ? { exemplar: expr.includes('_bucket') } : { instant: true, range: false }),
      ...(type === 'table' ? { format: 'table' } : {}),
    })),
  };
}

function optionsOf(type: Panel['type']): object {
  if (type === 'table') return {};
  if (type === 'stat')
    return {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'value',
      graphMode: 'none',
      textMode: 'auto',
    };
  return { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } };
}
