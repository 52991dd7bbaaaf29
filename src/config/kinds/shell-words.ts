/**
 * Words as a POSIX shell splits them (quotes, backslash), without any of its expansions, and back. Tells
 * where something stands that only a shell would understand. Pure.
 */

export interface Word {
  readonly text: string;
  readonly start: number;
  /** True if quotes or a backslash took part. */
  readonly isQuoted: boolean;
}

export type Split =
  | { readonly words: readonly Word[] }
  | { readonly message: string; readonly offset: number };

/** Splits `text`; an unbalanced quote comes back as a message with its offset. */
export function splitWords(text: string): Split {
  const words: Word[] = [];
  let index = skipBlanks(text, 0);
  while (index < text.length) {
    const read = readWord(text, index);
    if ('message' in read) return read;
    words.push(read.word);
    index = skipBlanks(text, read.end);
  }
  return { words };
}

function skipBlanks(text: string, from: number): number {
  let index = from;
  while (text[index] === ' ' || text[index] === '\t') index += 1;
  return index;
}

type WordRead =
  | { readonly word: Word; readonly end: number }
  | { readonly message: string; readonly offset: number };

/** What a backslash takes the meaning of inside double quotes (POSIX shell, 2.2.3). */
const ESCAPED_IN_QUOTES = '$`"\\';

function readWord(text: string, start: number): WordRead {
  const parts: string[] = [];
  let isQuoted = false;
  let index = start;
  for (let char = text[index]; char !== undefined && !isBlank(char); char = text[index]) {
    if (char === "'" || char === '"') {
      const quoted = char === "'" ? readSingle(text, index) : readDouble(text, index);
      if (!quoted) return { message: `the quote \`${char}\` is never closed`, offset: index };
      parts.push(quoted.text);
      isQuoted = true;
      index = quoted.end;
    } else if (char === '\\') {
      if (index + 1 >= text.length) {
        return { message: 'the backslash at the end has nothing to quote', offset: index };
      }
      parts.push(text[index + 1] ?? '');
      isQuoted = true;
      index += 2;
    } else {
      parts.push(char);
      index += 1;
    }
  }
  return { word: { text: parts.join(''), start, isQuoted }, end: index };
}

function isBlank(char: string): boolean {
  return char === ' ' || char === '\t';
}

interface Quoted {
  readonly text: string;
  readonly end: number;
}

function readSingle(text: string, start: number): Quoted | undefined {
  const end = text.indexOf("'", start + 1);
  return end < 0 ? undefined : { text: text.slice(start + 1, end), end: end + 1 };
}

function readDouble(text: string, start: number): Quoted | undefined {
  const parts: string[] = [];
  for (let index = start + 1; index < text.length; index += 1) {
    const char = text[index] ?? '';
    if (char === '"') return { text: parts.join(''), end: index + 1 };
    const next = text[index + 1];
    if (char === '\\' && next !== undefined && ESCAPED_IN_QUOTES.includes(next)) {
      parts.push(next);
      index += 1;
    } else {
      parts.push(char);
    }
  }
  return undefined;
}

export interface Item {
  readonly text: string;
  readonly start: number;
}

/** Splits at `separator` outside of quotes; the items keep theirs. */
export function splitItems(
  text: string,
  separator: string,
): { readonly items: readonly Item[] } | { readonly message: string; readonly offset: number } {
  const items: Item[] = [];
  let start = 0;
  for (let index = 0; index <= text.length; index += 1) {
    const char = text[index];
    if (char === undefined || char === separator) {
      items.push({ text: text.slice(start, index), start });
      start = index + 1;
    } else if (char === '\\') {
      index += 1;
    } else if (char === "'" || char === '"') {
      const quoted = char === "'" ? readSingle(text, index) : readDouble(text, index);
      if (!quoted) return { message: `the quote \`${char}\` is never closed`, offset: index };
      index = quoted.end - 1;
    }
  }
  return { items };
}

/** Writes words so that splitWords() gives them back. */
export function joinWords(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}

export function quoteWord(word: string): string {
  if (/^[\w@%+=:,./~^-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

const OPERATOR = /^(?:&&|\|\|?|;;?|&|\d*(?:>>?|<<?|>&|<&|>\|)\S*)$/;
const EXPANSION = /\$[A-Za-z_{(]|`/;

/** Returns the first word that would mean something to a shell and means nothing here. */
export function shellSyntaxIn(words: readonly Word[]): Word | undefined {
  return words.find(
    ({ text, isQuoted }) =>
      !isQuoted && (OPERATOR.test(text) || EXPANSION.test(text) || /.;$/.test(text)),
  );
}
