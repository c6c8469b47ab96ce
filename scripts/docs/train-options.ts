/** The table of `train`'s options. */
import { isExplainedOption, trainOptions } from '#spec/train-options.js';
import { cell, code, table } from './markdown.js';

export function trainOptionTable(): string[] {
  const rows = trainOptions.map((option) => {
    const meaning = isExplainedOption(option)
      ? `${option.outcome === 'note' ? '*ignored:*' : '*refused:*'} ${cell(option.instead)}`
      : cell(option.help);
    return [option.group, code(option.name), valueOrWords(option.default), meaning];
  });
  return table(['group', 'option', 'default', 'meaning'], rows);
}

/** Defaults that are no values but say where the value comes from stand as plain words. */
const valueOrWords = (text: string): string => (/^(none|required|constant$|by content|the |0 \(|val\/)/.test(text) ? text : code(text));
