/** A field of the form for one option, with its default, its meaning, and what is wrong with it. */
import type { SpecOption } from '#spec/train-options.js';
import { wordsOf } from './spec-of.js';

interface Props {
  readonly option: SpecOption;
  readonly value: string;
  readonly problem: string | undefined;
  /** Name of a list of suggestions. */
  readonly list?: string | undefined;
  readonly onValue: (name: string, value: string) => void;
}

export function OptionField({ option, value, problem, list, onValue }: Props) {
  const { name, help, kind } = option;
  const id = `option-${name}`;
  const described = { id, 'aria-describedby': `${id}-help${problem ? ` ${id}-problem` : ''}`, 'aria-invalid': problem !== undefined };
  const words = wordsOf(option);
  return (
    <div class={`field ${value === '' ? '' : 'field-set'}`}>
      <label for={id}>{name}</label>
      {words.length > 0 || kind === 'boolean' ? (
        <select {...described} value={value} onChange={({ currentTarget }) => onValue(name, currentTarget.value)}>
          <option value="">default: {option.default}</option>
          {(kind === 'boolean' ? ['true', 'false'] : words).map((word) => (
            <option key={word} value={word}>
              {word}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...described}
          value={value}
          list={list}
          placeholder={option.default === 'required' ? '' : option.default}
          inputMode={kind === 'integer' ? 'numeric' : kind === 'number' ? 'decimal' : 'text'}
          spellcheck={false}
          autocomplete="off"
          required={option.default === 'required'}
          onInput={({ currentTarget }) => onValue(name, currentTarget.value)}
        />
      )}
      <p id={`${id}-help`} class="help">
        {help}
      </p>
      {problem !== undefined && (
        <p id={`${id}-problem`} class="problem">
          {problem}
        </p>
      )}
    </div>
  );
}
