/** JSON that a terminal can be shown as well: what JSON.stringify leaves of control characters is escaped. Pure. */

/** DEL and C1, which some terminals obey, line separators, and what turns the direction of writing. */
const UNSAFE = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Such characters can only stand within strings, so that the meaning stays. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replaceAll(UNSAFE, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
