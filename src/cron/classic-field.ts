/**
 * One field in crontab's spelling, crontab(5): a list of `*`, `A`, `A-B`, each of the first and last with `/STEP`;
 * names of months and weekdays. What other crons have beyond that is refused with what to write here. Pure.
 */
import { type Fault, faultAt, shown, type Word } from '../base/fault.ts';
import { didYouMean } from '../base/nearest.ts';
import { type Field, type FieldSpec, rangeOf, valuesOf } from './fields.ts';
import { type ReadField, upTo } from './uwsgi-field.ts';

/** A field that is longer says nothing that a shorter one could not. */
const MAX_LENGTH = 1000;
/** Wide enough for a number that is told to be out of range. */
const NUMBER = /^\d{1,9}$/;

export function readClassicField(spec: FieldSpec, word: Word): ReadField {
  if (word.text.length > MAX_LENGTH) {
    const hint = 'write ranges and steps';
    return { fault: faultAt(word, `the ${spec.name} is longer than ${MAX_LENGTH} letters`, hint) };
  }
  const all: number[] = [];
  let warning: Fault | undefined;
  for (const item of itemsOf(word)) {
    const read = readItem(spec, item);
    if (!read.values) return { fault: read.fault ?? notUnderstood(spec, item) };
    warning ??= read.fault;
    all.push(...read.values);
  }
  const field: Field = { values: valuesOf(spec, all), isStar: word.text.startsWith('*') };
  return warning ? { field, fault: warning } : { field };
}

function itemsOf({ text, offset }: Word): readonly Word[] {
  let at = offset;
  return text.split(',').map((item) => {
    const word = { text: item, offset: at };
    at += item.length + 1;
    return word;
  });
}

interface ReadItem {
  readonly values?: readonly number[];
  readonly fault?: Fault;
}

/** `*`, `A` or `A-B`, the first and the last with a step. */
function readItem(spec: FieldSpec, item: Word): ReadItem {
  const [base = '', step, ...more] = item.text.split('/');
  if (more.length > 0) return { fault: notUnderstood(spec, item) };
  const ends = endsOf(spec, { text: base, offset: item.offset });
  if (ends.fault || !ends.range) return { fault: ends.fault ?? notUnderstood(spec, item) };
  const [first, last] = ends.range;
  if (step === undefined) return { values: upTo(first, last) };
  if (ends.isSingle) {
    const hint = `write \`${base}-${spec.max}/${shown({ text: step, offset: 0 })}\``;
    return { fault: faultAt(item, 'a step needs a range to go through', hint) };
  }
  return stepped(spec, { text: step, offset: item.offset + base.length + 1 }, [first, last]);
}

function stepped(spec: FieldSpec, word: Word, [first, last]: readonly [number, number]): ReadItem {
  const step = NUMBER.test(word.text) ? Number(word.text) : 0;
  if (step === 0) {
    const hint = 'it takes a whole number from 1';
    return { fault: faultAt(word, `\`${shown(word)}\` is no step`, hint) };
  }
  const values = upTo(first, last).filter((value) => (value - first) % step === 0);
  if (step <= last - first || last === first) return { values };
  const message = `steps of ${step} never get beyond ${spec.name} ${first}`;
  const hint = `write \`${first}\` if that is meant; each field begins anew, so no step is longer than its range`;
  return { values, fault: faultAt(word, message, hint) };
}

interface Ends {
  readonly range?: readonly [number, number];
  readonly isSingle?: boolean;
  readonly fault?: Fault;
}

function endsOf(spec: FieldSpec, word: Word): Ends {
  if (word.text === '*') return { range: [spec.min, spec.max === 7 ? 6 : spec.max] };
  const dash = word.text.indexOf('-', 1);
  if (dash < 0) {
    const only = numberOf(spec, word);
    return only.fault ? only : { range: [only.number, only.number], isSingle: true };
  }
  const start = { text: word.text.slice(0, dash), offset: word.offset };
  const end = { text: word.text.slice(dash + 1), offset: word.offset + dash + 1 };
  const first = numberOf(spec, start);
  const last = numberOf(spec, end);
  if (first.fault) return first;
  if (last.fault) return last;
  if (first.number <= last.number) return { range: [first.number, last.number] };
  return { fault: faultAt(word, `\`${shown(word)}\` runs backwards`, forwards(spec, start, end)) };
}

/** How to write a range that goes beyond the end. */
function forwards(spec: FieldSpec, { text: start }: Word, { text: end }: Word): string {
  return `write \`${start}-${spec.names.at(-1) ?? spec.max},${spec.names[0] ?? spec.min}-${end}\` if it goes on at the beginning`;
}

type Numbered = { readonly number: number; readonly fault?: never } | { readonly fault: Fault };

function numberOf(spec: FieldSpec, word: Word): Numbered {
  const named = spec.names.indexOf(word.text.toLowerCase());
  if (named >= 0) return { number: spec.min + named };
  if (!NUMBER.test(word.text)) return { fault: notUnderstood(spec, word) };
  const number = Number(word.text);
  if (number >= spec.min && number <= spec.max) return { number };
  const hint = `it takes ${rangeOf(spec)}`;
  return { fault: faultAt(word, `there is no ${spec.name} \`${shown(word)}\``, hint) };
}

/** What other crons understand: pattern → what to write here. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/\?/, 'write `*` for any'],
  [
    /^-\d/,
    "negative numbers are uWSGI's, and then all five fields are numbers; write `*` or `*/N`",
  ],
  [/^h/i, 'write a number, or `*`; there is no `H`'],
  [/l$/i, 'there is no `L` for the last; let the command find out whether it is the day'],
  [/w$|#/i, 'there is no `W` and no `#`; let the command find out whether it is the day'],
  [/~/, 'there is no random `~`; write a number'],
];

function notUnderstood(spec: FieldSpec, word: Word): Fault {
  if (word.text === '') {
    const hint = 'a list is numbers with commas between, without blanks';
    return faultAt({ text: '', offset: word.offset }, `the ${spec.name} has an empty part`, hint);
  }
  const foreign = FOREIGN.find(([pattern]) => pattern.test(word.text))?.[1];
  const hint =
    didYouMean(word.text.toLowerCase(), spec.names) ??
    foreign ??
    `it takes ${rangeOf(spec)}${spec.names.length > 0 ? ` or ${spec.names[0]}-${spec.names.at(-1)}` : ''}, \`*\`, lists, ranges and steps`;
  return faultAt(word, `\`${shown(word)}\` is no ${spec.name}`, hint);
}
