/**
 * The language of rules: `allow|deny [SRC[/MASK] DST[/MASK]]`, and of a vassal's own: `in|out SRC DST allow|deny`.
 *
 * A missing mask means one host. `0.0.0.0` with whatever mask, and `/0`, mean every IPv4 address, `::` every IPv6
 * address; a rule speaks of one family. An action alone speaks of every packet. Whatever is anything else is a fault:
 * a typo never allows. Pure.
 */

import { type Fault, faultAt, shown, type Word, wordsIn } from '../base/fault.ts';
import { nearest } from '../base/nearest.ts';
import { meantBy, type Prefix, parseCidr, printMeant, widening } from './prefix.ts';

export const ACTIONS = ['allow', 'deny'] as const;
export type Action = (typeof ACTIONS)[number];

/** `out`: what vassals send. `in`: what is sent to vassals. */
export const CHAIN_NAMES = ['in', 'out'] as const;
export type ChainName = (typeof CHAIN_NAMES)[number];

export interface Sides {
  readonly src: Prefix;
  /** Of the family of `src`. */
  readonly dst: Prefix;
}

/** Plain JSON. */
export interface Rule {
  readonly action: Action;
  /** Null: every packet of both families. */
  readonly sides: Sides | null;
}

/** A rule of one vassal's own. */
export interface DeviceRule extends Rule {
  readonly chain: ChainName;
  readonly sides: Sides;
}

/** Warnings and faults stand in the order of the text. */
export type ParsedRule<R> =
  | { readonly rule: R; readonly warnings: readonly Fault[] }
  | { readonly faults: readonly Fault[] };

const RULE_FORM = '`allow` or `deny`, alone or with `SRC[/MASK] DST[/MASK]`';
const DEVICE_RULE_FORM = '`in|out SRC[/MASK] DST[/MASK] allow|deny`';

/** Reads one rule of the router's chains. */
export function parseRule(text: string): ParsedRule<Rule> {
  const [first, src, dst, ...more] = wordsIn(text);
  const reader = new Reader(text, RULE_FORM);
  const action = reader.oneOf(ACTIONS, first);
  if (src && !dst) reader.refuseLone(src, action ?? 'deny');
  const sides = src && dst ? reader.sides(src, dst) : null;
  reader.refuse(more);
  return reader.result(action && sides !== undefined ? { action, sides } : undefined);
}

/** Reads one rule of a vassal's own, which stands in its file. */
export function parseDeviceRule(text: string): ParsedRule<DeviceRule> {
  const [first, src, dst, last, ...more] = wordsIn(text);
  const reader = new Reader(text, DEVICE_RULE_FORM);
  const chain = reader.oneOf(CHAIN_NAMES, first);
  const sides = src && dst ? reader.sides(src, dst) : undefined;
  const action = first && reader.oneOf(ACTIONS, last);
  reader.refuse(more);
  return reader.result(chain && sides && action ? { chain, action, sides } : undefined);
}

/** The text that parseRule() reads as `rule`. */
export function printRule({ action, sides }: Rule): string {
  return sides ? `${action} ${printMeant(sides.src)} ${printMeant(sides.dst)}` : action;
}

/** The text that parseDeviceRule() reads as `rule`. */
export function printDeviceRule({ chain, action, sides }: DeviceRule): string {
  return `${chain} ${printMeant(sides.src)} ${printMeant(sides.dst)} ${action}`;
}

/** Collects what is wrong with the parts of one rule; a part that is undefined has told why. */
class Reader {
  readonly #text: string;
  readonly #form: string;
  readonly #faults: Fault[] = [];
  readonly #warnings: Fault[] = [];

  constructor(text: string, form: string) {
    this.#text = text;
    this.#form = form;
  }

  result<R>(rule: R | undefined): ParsedRule<R> {
    if (rule === undefined || this.#faults.length > 0) return { faults: this.#faults };
    return { rule, warnings: this.#warnings };
  }

  oneOf<const W extends string>(choices: readonly W[], word: Word | undefined): W | undefined {
    const found = choices.find((choice) => choice === word?.text);
    if (found !== undefined) return found;
    if (!word) {
      this.#refuseEnd();
      return undefined;
    }
    const lower = word.text.toLowerCase();
    const close = choices.find((choice) => choice === lower) ?? nearest(lower, choices);
    const hint = close === undefined ? this.#hint : `did you mean \`${close}\`?`;
    const among = choices.map((choice) => `\`${choice}\``).join(' nor ');
    this.#faults.push(faultAt(word, `\`${shown(word)}\` is neither ${among}`, hint));
    return undefined;
  }

  sides(srcWord: Word, dstWord: Word): Sides | undefined {
    const src = this.#side(srcWord);
    const dst = this.#side(dstWord);
    if (!src || !dst) return undefined;
    if (src.family === dst.family) return { src, dst };
    const message = `\`${shown(dstWord)}\` is IPv${dst.family}, and the source is IPv${src.family}`;
    const hint = 'write a rule for each; `0.0.0.0` is any IPv4 address, `::` any IPv6 address';
    this.#faults.push(faultAt(dstWord, message, hint));
    return undefined;
  }

  /** Two words are no rule: uWSGI left them out, so that what they denied was allowed. */
  refuseLone(src: Word, action: Action): void {
    const parsed = parseCidr(src);
    const any = 'address' in parsed && parsed.address.family === 6 ? '::' : '0.0.0.0';
    const to = 'address' in parsed ? shown(src) : 'SRC';
    const hint = `write \`${action} ${to} ${any}\` for any destination, \`${action}\` for all packets`;
    this.#faults.push(faultAt(src, 'it has a source and no destination', hint));
  }

  refuse(more: readonly Word[]): void {
    const [word] = more;
    if (!word) return;
    const whole = { text: this.#text.slice(word.offset).trimEnd(), offset: word.offset };
    this.#faults.push(faultAt(whole, `\`${shown(whole)}\` is too much`, this.#hint));
  }

  get #hint(): string {
    return `it takes ${this.#form}`;
  }

  #refuseEnd(): void {
    const end = { text: '', offset: this.#text.trimEnd().length };
    const message = end.offset === 0 ? 'it has no value' : 'it ends too early';
    this.#faults.push(faultAt(end, message, this.#hint));
  }

  #side(word: Word): Prefix | undefined {
    const cidr = parseCidr(word);
    if ('fault' in cidr) {
      this.#faults.push(cidr.fault);
      return undefined;
    }
    const warning = widening(word, cidr);
    if (warning) this.#warnings.push(warning);
    return meantBy(cidr);
  }
}
