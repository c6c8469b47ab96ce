/**
 * What a Prometheus of the user's own needs to watch the services of `up`: a configuration with the package's rules and alerts, and a list of addresses.
 * Prometheus reads the list again when it changes, so that it goes on over several starts of `up` with other ports.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunningService } from '../addresses.js';
import { makePrivateFolder } from '../private-folder.js';
import { replaceFile } from './replace-file.js';

/** deploy/prometheus, seen from the sources or from dist. */
const rules = ['../../../deploy/prometheus/', '../../../../deploy/prometheus/']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path));

export const prometheusFolder = (home: string): string => join(home, 'prometheus');

/** Configuration for `prometheus --config.file`. A path is quoted as JSON, which YAML can read. */
const configuration = `# Written by \`dropstream up\` at every start. Copy it if you want to change it.
global: { scrape_interval: 5s, evaluation_interval: 15s }
rule_files: [${rules === undefined ? '' : JSON.stringify(join(rules, '*.rules.yaml'))}]
scrape_configs:
  - job_name: dropstream
    file_sd_configs: [{ files: [targets.json] }]
`;

/** Writes both files for these services. They are for the owner only, as everything in `home`. */
export async function writePrometheusFiles(home: string, services: readonly Pick<RunningService, 'name' | 'admin'>[]): Promise<void> {
  const folder = prometheusFolder(home);
  makePrivateFolder(folder);
  await replaceFile(join(folder, 'prometheus.yml'), configuration);
  const groups = services.map(({ name, admin }) => ({ targets: [new URL(admin).host], labels: { name } }));
  await replaceFile(join(folder, 'targets.json'), `${JSON.stringify(groups, null, 2)}\n`);
}

/** The services have ended on purpose: nobody should be told that they do not answer. */
export async function forgetPrometheusTargets(home: string): Promise<void> {
  const targets = join(prometheusFolder(home), 'targets.json');
  if (existsSync(targets)) await replaceFile(targets, '[]\n');
}
