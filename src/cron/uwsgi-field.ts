/**
 * One field in uWSGI's spelling: a number, -1 for any, -N for what is divisible by N. So day -5 is 5, 10, … 30, where
 * crontab's `*` `/5` is 1, 6, … 31. Pure.
 */
import { type Fault, faultAt, shown, type Word } from '../base/fault.ts';
import { type Field, type FieldSpec, rangeOf, valuesOf } from './fields.ts';

const MAX_DIGITS = 6;
const LAST_WEEKDAY = 6;

export type ReadField = {
  readonly field?: Field;
  /** With a field it is a warning, without one it says why there is none. */
  readonly fault?: Fault;
};

/** True for what could be a number of uWSGI's, good or bad. */
export function looksLikeNumber({ text }: Word): boolean {
  return /^-?\d+$/.test(text);
}

/** Reads what looksLikeNumber() is true of. */
export function readUwsgiField(spec: FieldSpec, word: Word): ReadField {
  const number = word.text.length > MAX_DIGITS ? Number.NaN : Number(word.text);
  if (word.text.startsWith('-') && number < 0) return divisible(spec, word, -number);
  if (number >= spec.min && number <= spec.max && !word.text.startsWith('-')) {
    return { field: { values: valuesOf(spec, [number]), isStar: false } };
  }
  const hint = `it takes ${rangeOf(spec)}, -1 for any, -N for every one that N divides`;
  return { fault: faultAt(word, `there is no ${spec.name} \`${shown(word)}\``, hint) };
}

function divisible(spec: FieldSpec, word: Word, divisor: number): ReadField {
  const last = Math.min(spec.max, spec.names.length === 7 ? LAST_WEEKDAY : spec.max);
  const values = upTo(spec.min, last).filter((value) => value % divisor === 0);
  if (values.length === 0) {
    const hint = `\`-1\` is any ${spec.name}; ${spec.name}s end at ${last}`;
    return { fault: faultAt(word, `no ${spec.name} is divisible by ${divisor}`, hint) };
  }
  const field = { values, isStar: true };
  if (divisor <= last) return { field };
  const hint = `write \`0\` if that is meant; ${spec.name}s end at ${last}`;
  return { field, fault: faultAt(word, `\`${shown(word)}\` means ${spec.name} 0 only`, hint) };
}

/** All whole numbers from `first` to `last`. */
export function upTo(first: number, last: number): readonly number[] {
  const all: number[] = [];
  for (let number = first; number <= last; number += 1) all.push(number);
  return all;
}
