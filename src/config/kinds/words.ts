/** The kind of a command: words as a shell splits them, with a warning where a shell was expected. */
import type { Kind, Warning } from './kind.ts';
import { joinWords, quoteWord, shellSyntaxIn, splitWords } from './shell-words.ts';

export const commandWords: Kind<readonly string[]> = {
  name: 'command',
  expects: 'a program and its arguments, split as a shell does it but run without one',
  schema: { minLength: 1 },
  parse(text) {
    const split = splitWords(text);
    if ('message' in split) return { fault: { ...split, hint: QUOTE_HINT } };
    const [program] = split.words;
    if (!program || program.text === '') {
      const hint = 'name a program, or leave the key out for a vassal that only waits';
      return { fault: { message: 'it names no program', hint } };
    }
    const shell = shellSyntaxIn(split.words);
    const value = split.words.map((word) => word.text);
    return shell ? { value, warnings: [shellWarning(text, shell.text, shell.start)] } : { value };
  },
  print: joinWords,
};

const QUOTE_HINT = "close it, or put a backslash before it: `\\'`";

function shellWarning(text: string, word: string, offset: number): Warning {
  return {
    code: 'shell-syntax',
    message: `no shell reads this, so \`${word}\` is an argument like any other`,
    hint: `for a shell write \`sh -c ${quoteWord(text)}\``,
    offset,
  };
}
