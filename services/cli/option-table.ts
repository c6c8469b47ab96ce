/** The table of `train`'s options as README shows it. */
import { isExplainedOption, trainOptions } from './train-options.js';

/** Lines of Markdown. */
export function optionTable(): string[] {
  const rows = trainOptions.map((option) => {
    const meaning = isExplainedOption(option)
      ? `${option.outcome === 'note' ? '*ignored:*' : '*refused:*'} ${option.instead}`
      : option.help;
    return `| ${option.group} | \`${option.name}\` | ${code(option.default)} | ${meaning.replaceAll('|', '\\|')} |`;
  });
  return ['| group | option | default | meaning |', '|---|---|---|---|', ...rows];
}

const code = (text: string): string =>
  /^(none|required|constant$|by content|the |0 \(|val\/)/.test(text) ? text : `\`${text.replaceAll('|', '\\|')}\``;
