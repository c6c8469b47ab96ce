/** The page that lists the options of the services and the gateway, from the text that `serve SERVICE --help` prints. */
import { dataConfig } from '../../services/data/config.js';
import { evaluatorConfig } from '../../services/evaluator/config.js';
import { gatewayConfig } from '../../services/gateway/config.js';
import { schedulerConfig } from '../../services/scheduler/config.js';
import { trainerConfig } from '../../services/trainer/config.js';
import { cell, code, generatedFrom, table } from './markdown.js';

const services = {
  data: dataConfig,
  scheduler: schedulerConfig,
  trainer: trainerConfig,
  evaluator: evaluatorConfig,
  gateway: gatewayConfig,
};
const helpLine = /^ {2}(--\S+(?: [A-Z]+)?(?: …)?) {2,}(.*?)(?: \((?:default (.*)|(required))\))? \[(\w+)\]$/;

export function serviceOptionsPage(): string {
  const out = [
    generatedFrom('services/*/config.ts'),
    '# Options of the services',
    '',
    'Each service is started with `dropstream serve SERVICE`. An option is taken from the command line first, then from its environment variable,',
    'then from the JSON file that `--config` names. The variables also exist without the name of the service (`DROPSTREAM_STORE`), which then holds',
    'for every service that has the option. A list is given by repeating the option, or with commas in the variable.',
  ];
  for (const [service, config] of Object.entries(services)) {
    const rows = config
      .help()
      .split('\n')
      .map((line) => {
        const [, option, help, fallback, required, variable] = helpLine.exec(line) ?? [];
        if (!option || !help || !variable) throw new Error(`serve ${service} --help has a line of another form: ${line}`);
        return [code(option), required ?? (fallback ? code(fallback) : 'none'), cell(help), code(variable)];
      });
    out.push('', `## serve ${service}`, '', ...table(['option', 'default', 'meaning', 'environment variable'], rows));
  }
  return `${out.join('\n')}\n`;
}
