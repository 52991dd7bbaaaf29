/**
 * What a kind of value is: how its text is read, how a value is written, what a schema says about it.
 * Reading what was written gives the same value (test/unit/config/kinds.test.ts).
 */
import type { Code } from '../diagnose.ts';

/** What reading a value may ask about. */
export interface KindContext {
  /** Of the file in which the value stands; relative paths go by it. */
  readonly directory: string;
  readonly lookupUser: (name: string) => number | undefined;
  readonly lookupGroup: (name: string) => number | undefined;
}

export interface Fault {
  readonly message: string;
  readonly hint?: string;
  /** Index into the text at which it stands. */
  readonly offset?: number;
}

/** What is taken, and yet worth a word. */
export interface Warning extends Fault {
  readonly code: Code;
}

export type Parsed<T> =
  | { readonly value: T; readonly warnings?: readonly Warning[] }
  /** `more` are further ones in the same text. */
  | { readonly fault: Fault; readonly more?: readonly Fault[] };

export interface Kind<T> {
  /** One or two words, for tables: `duration`. */
  readonly name: string;
  /** Completes "takes …": `a duration, such as 10s`. */
  readonly expects: string;
  /** The part of a JSON schema that says more than `string`. */
  readonly schema: Readonly<Record<string, unknown>>;
  parse(text: string, context: KindContext): Parsed<T>;
  print(value: T): string;
}

/** A kind whose text is right or wrong as a whole. */
export function plainKind<T>(
  described: Pick<Kind<T>, 'name' | 'expects'> & { readonly schema?: Kind<T>['schema'] },
  read: (text: string, context: KindContext) => T | undefined,
  print: (value: T) => string,
): Kind<T> {
  return {
    schema: {},
    ...described,
    parse(text, context) {
      const value = read(text, context);
      return value === undefined ? unlike(text, described) : { value };
    },
    print,
  };
}

/** The fault of a text that is nothing like what the kind takes. */
export function unlike(text: string, { name, expects }: Pick<Kind<unknown>, 'name' | 'expects'>) {
  const message = text === '' ? 'it has no value' : `\`${abbreviated(text)}\` is no ${name}`;
  return { fault: { message, hint: `it takes ${expects}` } };
}

/** Returns what of a text a message can show. */
export function abbreviated(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
