/** Lets users write every option with dashes or underscores, whichever its command declares. */

/** `train` declares options with underscores, like the reference; all other commands with dashes. `serve` arguments stay unchanged. */
export function normaliseArguments(argv: readonly string[]): string[] {
  const command = argv.find((argument, k) => !argument.startsWith('-') && argv[k - 1] !== '--context');
  if (command === 'serve') return [...argv];
  const [from, to] = command === 'train' ? (['-', '_'] as const) : (['_', '-'] as const);
  const end = argv.indexOf('--');
  return argv.map((argument, k) => {
    if (!/^--[A-Za-z]/.test(argument) || (end >= 0 && k > end)) return argument;
    const [name = '', ...value] = argument.slice(2).split('=');
    return [`--${name.replaceAll(from, to)}`, ...value].join('=');
  });
}
