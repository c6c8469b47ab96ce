/** What the files of rules say, read as the text that they are: one alert is `- alert: NAME` and the lines below it. */
import { readdirSync, readFileSync } from 'node:fs';
import { deployPath } from './dashboard-queries.js';

export interface AlertRule {
  readonly name: string;
  readonly expr: string;
  readonly severity: string | undefined;
  readonly runbook: string | undefined;
}

export function ruleFiles(): string[] {
  const folder = deployPath('prometheus/');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.rules.yaml'))
    .map((name) => `${folder}${name}`);
}

const blocks = (kind: 'alert' | 'record'): { name: string; block: string }[] =>
  ruleFiles().flatMap((file) =>
    readFileSync(file, 'utf8')
      .split(/^ {6}- (?=alert|record)/m)
      .filter((block) => block.startsWith(`${kind}: `))
      .map((block) => ({ name: /^\w+: (\S+)/.exec(block)![1]!, block })),
  );

const expressionOf = (block: string): string => /^ {8}expr: (?:>-\n)?((?:.*\n)(?: {10}.*\n)*)/m.exec(block)![1]!;

export const alertRules = (): AlertRule[] =>
  blocks('alert').map(({ name, block }) => ({
    name,
    expr: expressionOf(block),
    severity: /severity: (\w+)/.exec(block)?.[1],
    runbook: /runbook: (\S+)/.exec(block)?.[1],
  }));

export const recordingRules = (): { name: string; expr: string }[] =>
  blocks('record').map(({ name, block }) => ({ name, expr: expressionOf(block) }));
