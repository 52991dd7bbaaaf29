/**
 * Replaces `%n %d %p %(key) %%` and `$(ENV)` in one value. What is put in is never looked at again, so no
 * value can smuggle a placeholder, and an unknown `%x` stays as it is. Pure but for what the scope does.
 */
import type { Budget } from './budget.ts';
import { type Findings, type Place, wholeFile } from './diagnose.ts';

/** What placeholders stand for at one place. */
export interface Scope {
  /** `%n` */
  readonly name: string;
  /** `%p`; its directory is `%d`. */
  readonly file: string;
  /** `%(_)` inside a loop. */
  readonly item: string | null;
  /** `%(key)`; undefined where the key is not known or has no value. */
  readonly valueOf: (key: string) => string | undefined;
  /** `$(NAME)`; null in a tenant's text, where the mere use is an error. */
  readonly env: ((name: string) => string | undefined) | null;
  /** What to say of a key that valueOf() does not know. */
  readonly hintFor: (key: string) => string | undefined;
}

export interface Expansion {
  readonly budget: Budget;
  readonly findings: Findings;
}

const PLACEHOLDER = /%(?:%|\(([\w-]+)\)|([ndp]))|\$\(([A-Za-z_]\w*)\)/g;
/** `+%d` begins a format of date(1), where `%d`, `%n` and `%p` mean other things. */
const DATE_FORMAT = /(?<=^|\s)(?:'\+[^']*'|"\+[^"]*"|\+\S*)/g;

/** Returns `text` with its placeholders replaced; undefined, and told to `findings`, where that fails. */
export function expand(
  text: string,
  place: Place,
  scope: Scope,
  to: Expansion,
): string | undefined {
  if (!text.includes('%') && !text.includes('$(')) return text;
  const formats = [...text.matchAll(DATE_FORMAT)].map(({ 0: match, index }) => ({
    start: index,
    end: index + match.length,
  }));
  let isWhole = true;
  const expanded = text.replaceAll(PLACEHOLDER, (whole, key, magic, variable, index: number) => {
    // Before looking further: what doubles at each step would go on for ages after all is spent.
    if (!to.budget.spend(0)) return '';
    const isInFormat = formats.some(({ start, end }) => index >= start && index < end);
    if (magic !== undefined && isInFormat) return whole;
    const found = replacementOf({ whole, key, magic, variable }, place, scope, to);
    isWhole &&= found !== undefined;
    return found !== undefined && to.budget.spend(found.length) ? found : '';
  });
  if (to.budget.isSpent) refuseSize(place, to.findings);
  return isWhole && !to.budget.isSpent ? expanded : undefined;
}

/** Tells once that there is too much text. */
export function refuseSize(place: Place, findings: Findings): void {
  findings.error(wholeFile(place.file), {
    code: 'expansion-too-large',
    message: `Cannot expand ${place.file}: loops, includes and placeholders make more than 1 MiB`,
    hint: `it grew too large at line ${place.line}`,
  });
}

interface Placeholder {
  readonly whole: string;
  readonly key: string | undefined;
  readonly magic: string | undefined;
  readonly variable: string | undefined;
}

function replacementOf(
  { whole, key, magic, variable }: Placeholder,
  place: Place,
  scope: Scope,
  to: Expansion,
): string | undefined {
  if (variable !== undefined) return environmentOf(variable, place, scope, to.findings);
  if (key !== undefined) return keyValue(key, place, scope, to.findings);
  if (magic === 'n') return scope.name;
  if (magic === 'p') return scope.file;
  // As in uWSGI, with the slash at the end: `%dapp.py`, `%d../lib`.
  if (magic === 'd') return scope.file.slice(0, scope.file.lastIndexOf('/') + 1);
  return whole === '%%' ? '%' : whole;
}

function keyValue(key: string, place: Place, scope: Scope, findings: Findings): string | undefined {
  const value = key === '_' ? (scope.item ?? undefined) : scope.valueOf(key);
  if (value !== undefined) return value;
  const state = key === '_' ? 'it stands in no `for` loop' : 'no such key has a value here';
  findings.error(place, {
    code: 'bad-template',
    message: `Cannot replace \`%(${key})\`: ${state}`,
    hint: scope.hintFor(key) ?? `for the text itself write \`%%(${key})\``,
  });
  return undefined;
}

function environmentOf(
  name: string,
  place: Place,
  scope: Scope,
  findings: Findings,
): string | undefined {
  const text = `$(${name})`;
  if (!scope.env) {
    findings.error(place, {
      code: 'operator-only',
      message: `Cannot use \`${text}\`: only the operator's files may name environment variables`,
      hint: `where a shell should run \`${name}\`, write \`$( ${name})\``,
    });
    return undefined;
  }
  const value = scope.env(name);
  if (value !== undefined) return value;
  // `sh -c 'echo $(date)'` is a command for the shell; only what looks like a variable is worth a word.
  if (/^[A-Z_][A-Z0-9_]*$/.test(name)) {
    findings.warning(place, {
      code: 'unset-variable',
      message: `The environment variable ${name} is not set, so \`${text}\` stays as it is`,
      hint: `set ${name} in the emperor's environment`,
    });
  }
  return text;
}
