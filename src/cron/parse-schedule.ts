/**
 * Text → schedule, in whichever of the two spellings it is written.
 *
 * Five whole numbers with a negative one among them are uWSGI's; crontab has no negative numbers. Everything else is
 * crontab's. Five numbers without a negative one are both, and mean the same in both: day and weekday are joined by
 * "or" (uWSGI: both are numbers; crontab: neither begins with `*`). So every line has one meaning, and a line that
 * mixes the spellings has none. Pure.
 */
import { type Fault, faultAt, shown, type Word, wordsIn } from '../base/fault.ts';
import { nearest } from '../base/nearest.ts';
import { readClassicField } from './classic-field.ts';
import { FIELDS, type Field, type FieldSpec } from './fields.ts';
import { isNever, type Schedule, type Times } from './schedule.ts';
import { looksLikeNumber, type ReadField, readUwsgiField } from './uwsgi-field.ts';

/** Warnings and faults stand in the order of the text. */
export type ParsedSchedule =
  | { readonly schedule: Schedule; readonly warnings: readonly Fault[] }
  | { readonly faults: readonly Fault[] };

/** crontab(5): each stands for these five fields. */
const NICKNAMES: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
  ['@monthly', '0 0 1 * *'],
  ['@weekly', '0 0 * * 0'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@hourly', '0 * * * *'],
]);
const REBOOT = '@reboot';

/** How many words of a line are its schedule. */
export function scheduleLength([first]: readonly Word[]): number {
  return first?.text.startsWith('@') ? 1 : FIELDS.length;
}

/** Reads a text that is a schedule and nothing else. */
export function parseSchedule(text: string): ParsedSchedule {
  const words = wordsIn(text);
  const length = scheduleLength(words);
  const extra = words[length];
  if (!extra) return readSchedule(words, text);
  return { faults: [tooMuch(text, extra, length === FIELDS.length && words.length === 6)] };
}

function tooMuch(text: string, extra: Word, hasSeconds: boolean): Fault {
  const whole = { text: text.slice(extra.offset).trimEnd(), offset: extra.offset };
  const hint = hasSeconds
    ? 'there are five fields, minute to weekday; the minute is the finest, there are no seconds'
    : `a schedule ends with its ${extra.offset > 0 && text.trimStart().startsWith('@') ? 'first word' : 'fifth field'}`;
  return faultAt(whole, `\`${shown(whole)}\` is too much`, hint);
}

/** Reads the words of a schedule, as many as scheduleLength() says, out of `text`. */
export function readSchedule(words: readonly Word[], text: string): ParsedSchedule {
  const [first] = words;
  if (first?.text.startsWith('@')) return readNickname(first);
  if (words.length < FIELDS.length) return { faults: [tooShort(words, text)] };
  const isUwsgi = words.every(looksLikeNumber) && words.some(({ text: word }) => word[0] === '-');
  return join(
    words,
    FIELDS.map((spec, index) => readField(spec, words[index], isUwsgi)),
  );
}

function readField(spec: FieldSpec, word: Word | undefined, isUwsgi: boolean): ReadField {
  if (!word) return {};
  return isUwsgi ? readUwsgiField(spec, word) : readClassicField(spec, word);
}

function readNickname(word: Word): ParsedSchedule {
  if (word.text === REBOOT) return { schedule: { kind: 'reboot' }, warnings: [] };
  const fields = NICKNAMES.get(word.text);
  if (fields !== undefined) return parseSchedule(fields);
  const known = [...NICKNAMES.keys(), REBOOT];
  const lower = word.text.toLowerCase();
  const close = known.find((name) => name === lower) ?? nearest(lower, known);
  const hint = close === undefined ? `it takes ${known.join(', ')}` : `did you mean \`${close}\`?`;
  return { faults: [faultAt(word, `\`${shown(word)}\` is no time`, hint)] };
}

function tooShort(words: readonly Word[], text: string): Fault {
  const end = { text: '', offset: text.trimEnd().length };
  const hint =
    'it takes five fields (minute, hour, day, month, weekday), or a word such as `@daily`';
  if (words.length === 0) return faultAt(end, 'it has no time', hint);
  const missing = FIELDS[words.length]?.name ?? '';
  return faultAt(end, `it ends before the ${missing}`, hint);
}

function join(words: readonly Word[], read: readonly ReadField[]): ParsedSchedule {
  const told = read.flatMap(({ fault }) => (fault ? [fault] : []));
  const fields = read.flatMap(({ field }) => (field ? [field] : []));
  const [minute, hour, day, month, weekday] = fields;
  if (!minute || !hour || !day || !month || !weekday) {
    return { faults: read.flatMap(({ field, fault }) => (fault && !field ? [fault] : [])) };
  }
  const schedule = timesOf([minute, hour, day, month, weekday]);
  if (isNever(schedule)) told.push(neverFault(words));
  return { schedule, warnings: told };
}

function timesOf(fields: readonly [Field, Field, Field, Field, Field]): Times {
  const [minute, hour, day, month, weekday] = fields;
  return {
    kind: 'times',
    minutes: minute.values,
    hours: hour.values,
    days: day.values,
    months: month.values,
    weekdays: weekday.values,
    dayRule: day.isStar || weekday.isStar ? 'both' : 'either',
    isWildcard: minute.isStar || hour.isStar,
  };
}

function neverFault(words: readonly Word[]): Fault {
  const [, , day, month] = words;
  const from = day ?? { text: '', offset: 0 };
  const length = (month ?? from).offset + (month ?? from).text.length - from.offset;
  return {
    message: 'no month that it names has such a day, so it never comes',
    hint: 'write a day that there is',
    offset: from.offset,
    length,
  };
}
