/** What is wrong with a text in one of our small languages, and where in it: rules, schedules, crontabs. Pure. */

export interface Fault {
  /** Without the text's key, for instance: `` `dney` is neither `allow` nor `deny` ``. */
  readonly message: string;
  readonly hint: string;
  /** Index into the text. */
  readonly offset: number;
  readonly length: number;
}

export interface Word {
  readonly text: string;
  readonly offset: number;
}

export function wordsIn(text: string): readonly Word[] {
  return [...text.matchAll(/\S+/g)].map(({ 0: word, index }) => ({ text: word, offset: index }));
}

export function faultAt({ text, offset }: Word, message: string, hint: string): Fault {
  return { message, hint, offset, length: text.length };
}

const MAX_SHOWN = 60;

/** What of a word a message can show. */
export function shown({ text }: Word): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
