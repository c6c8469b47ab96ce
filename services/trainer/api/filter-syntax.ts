/**
 * Parses the filter of a list: a subset of aip.dev/160. Comparisons with `=` and `!=` are joined by AND and OR, of which OR binds more strongly, as
 * there. Values are bare or quoted, and `field = (a OR b)` is short for `field = a OR field = b`.
 */
import { type InvalidArgument, invalid } from '#errors/errors.js';

export interface Comparison {
  readonly kind: 'comparison';
  /** As written, for example `labels.team`. */
  readonly field: string;
  /** True for `!=`. */
  readonly negated: boolean;
  readonly value: string;
  /** Where field and value begin, in characters from 1. */
  readonly fieldAt: number;
  readonly valueAt: number;
}

export type Filter = Comparison | { readonly kind: 'and' | 'or'; readonly parts: readonly Filter[] };

export const maxFilterLength = 2048;
const maxDepth = 16;

interface Token {
  readonly kind: 'text' | 'quoted' | 'sign' | 'end';
  readonly text: string;
  /** In characters from 1. */
  readonly at: number;
}

const bare = /[A-Za-z0-9_.-]+/y;
const space = /[ \t\r\n]+/y;
const signs = ['!=', '=', '(', ')'];
const bareValue = 'a value of letters, digits, "_", "." and "-", or one in quotes';

/** Reads a filter; undefined if it is empty. @throws InvalidArgument with the position and what is allowed there */
export function parseFilter(text: string): Filter | undefined {
  if (text.length > maxFilterLength) throw invalid('filter', text, `at most ${maxFilterLength} characters long`);
  const parser = new Parser(text, [...tokens(text)]);
  return parser.filter();
}

/** The error for a part of a filter that is not allowed. `at`: characters from 1. */
export function filterError(text: string, at: number, found: string, allowed: string): InvalidArgument {
  return invalid('filter', text, `a filter with ${allowed} at position ${at}, where it has ${found}`);
}

class Parser {
  #next = 0;
  #depth = 0;

  constructor(
    readonly text: string,
    readonly all: readonly Token[],
  ) {}

  filter(): Filter | undefined {
    if (this.#peek().kind === 'end') return undefined;
    const filter = this.#and();
    if (this.#peek().kind !== 'end') throw this.#wrong('AND, OR or its end');
    return filter;
  }

  #and(): Filter {
    return this.#joined('AND', 'and', () => this.#joined('OR', 'or', () => this.#term()));
  }

  #joined(word: string, kind: 'and' | 'or', part: () => Filter): Filter {
    const parts = [part()];
    while (this.#isWord(word)) {
      this.#next++;
      parts.push(part());
    }
    return parts.length === 1 ? parts[0]! : { kind, parts };
  }

  #term(): Filter {
    if (this.#isSign('(')) return this.#inParentheses(() => this.#and());
    const { text: field, at: fieldAt } = this.#expect('text', 'a field (state, model or labels.KEY) or "("');
    if (!this.#isSign('=') && !this.#isSign('!=')) throw this.#wrong(`"=" or "!=" after ${field}`);
    const negated = this.all[this.#next++]!.text === '!=';
    const one = (): Filter => {
      const { text: value, at: valueAt } = this.#value();
      return { kind: 'comparison', field, negated, value, fieldAt, valueAt };
    };
    if (!this.#isSign('(')) return one();
    const values = this.#inParentheses(() => this.#joined('OR', 'or', one));
    // `f != (a OR b)` means that it is none of them.
    return negated && values.kind === 'or' ? { kind: 'and', parts: values.parts } : values;
  }

  #inParentheses(inside: () => Filter): Filter {
    if (++this.#depth > maxDepth) throw this.#wrong(`at most ${maxDepth} parentheses inside one another`);
    this.#next++;
    const filter = inside();
    if (!this.#isSign(')')) throw this.#wrong('")", AND or OR');
    this.#next++;
    this.#depth--;
    return filter;
  }

  #value(): Token {
    const token = this.#peek();
    if (token.kind === 'quoted') {
      this.#next++;
      return token;
    }
    return this.#expect('text', bareValue);
  }

  #expect(kind: Token['kind'], allowed: string): Token {
    const token = this.#peek();
    if (token.kind !== kind || isWord(token)) throw this.#wrong(allowed);
    this.#next++;
    return token;
  }

  #peek(): Token {
    return this.all[this.#next]!;
  }

  #isWord(word: string): boolean {
    const { kind, text } = this.#peek();
    return kind === 'text' && text === word;
  }

  #isSign(sign: string): boolean {
    const { kind, text } = this.#peek();
    return kind === 'sign' && text === sign;
  }

  #wrong(allowed: string): InvalidArgument {
    const { kind, text, at } = this.#peek();
    return filterError(this.text, at, kind === 'end' ? 'its end' : JSON.stringify(text), allowed);
  }
}

const isWord = ({ kind, text }: Token): boolean => kind === 'text' && (text === 'AND' || text === 'OR');

function* tokens(text: string): Generator<Token> {
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  while (at < text.length) {
    const begin = at + 1;
    const blank = match(space);
    if (blank !== undefined) {
      at += blank.length;
      continue;
    }
    const sign = signs.find((known) => text.startsWith(known, at));
    const quote = text[at] === '"' || text[at] === "'" ? text[at] : undefined;
    const word = match(bare);
    if (sign !== undefined) {
      at += sign.length;
      yield { kind: 'sign', text: sign, at: begin };
    } else if (quote !== undefined) {
      const { value, end } = quoted(text, at, quote);
      at = end;
      yield { kind: 'quoted', text: value, at: begin };
    } else if (word !== undefined) {
      at += word.length;
      yield { kind: 'text', text: word, at: begin };
    } else {
      const [found = ''] = text.slice(at);
      throw filterError(text, begin, JSON.stringify(found), `a field, "=", "!=", "(", ")", AND, OR or ${bareValue}`);
    }
  }
  yield { kind: 'end', text: '', at: text.length + 1 };
}

/** Reads a quoted value, in which a backslash stands before a quote or a backslash. `end`: index after the closing quote. */
function quoted(text: string, from: number, quote: string): { value: string; end: number } {
  let value = '';
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === quote) return { value, end: at + 1 };
    if (text[at] !== '\\') value += text[at];
    else {
      const escaped = text[++at];
      if (escaped !== '\\' && escaped !== '"' && escaped !== "'")
        throw filterError(text, at + 1, escaped === undefined ? 'its end' : JSON.stringify(escaped), 'a quote or a backslash after "\\"');
      value += escaped;
    }
  }
  throw filterError(text, text.length + 1, 'its end', `the closing ${quote} of the value that begins at position ${from + 1}`);
}
