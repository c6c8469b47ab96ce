/**
 * JSON that people write, as plain data. A key `__proto__` is refused: it is a key of its own here, but most of what is done with objects afterwards
 * takes it for the prototype, or drops it without a word. Other names that objects have by themselves (`constructor`, `toString`) are ordinary keys;
 * whoever looks a name up uses a Map or Object.hasOwn.
 */
export function parseOwnJson(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) => {
    if (key === '__proto__') throw new SyntaxError('a key __proto__ is not allowed');
    return value;
  });
}
