/** Text that somebody else wrote, made safe for a terminal: the one place that says what is not. Pure. */

/** Control, format, separator characters and halves of surrogate pairs. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Returns `text` with everything that a terminal would act upon written as `\xNN` or `\u{…}`; a tab is a blank. */
export function visible(text: string): string {
  return text.replaceAll(INVISIBLE, (character) => {
    if (character === '\t') return ' ';
    const hex = (character.codePointAt(0) ?? 0).toString(16);
    return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
  });
}
