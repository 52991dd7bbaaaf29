/** Which characters configuration may hold. Pure. */

/**
 * Control characters but the tab, line and paragraph separators, halves of surrogate pairs, and what turns
 * the direction of writing: nothing that a terminal, a log, another parser or a reader could take for
 * something else than it is.
 */
const FORBIDDEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202A-\u202E\u2066-\u2069]/u;

/** Returns the index of the first character that no value may hold; -1 if there is none. */
export function forbiddenAt(text: string): number {
  // The common case is decided without the property tables.
  if (/^[\x20-\x7e\t]*$/.test(text)) return -1;
  return text.replaceAll('\t', ' ').search(FORBIDDEN);
}

/** Returns the character as `U+000A`. */
export function codePointName(text: string, index: number): string {
  const point = text.codePointAt(index) ?? 0;
  return `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Returns the column, counted in characters from 1, of a string index. */
export function columnAt(line: string, index: number): number {
  return [...line.slice(0, index)].length + 1;
}

/** Removes spaces and tabs at both ends; unlike trim() nothing else. */
export function trimBlanks(text: string): string {
  return text.replace(/^[ \t]+/, '').replace(/(?<![ \t])[ \t]+$/, '');
}
