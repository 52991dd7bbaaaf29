/** One call of the CLI, parsed: which verb, its words, its options. What commands get. */
import { EmperorError } from '../base/errors.ts';

/** Options that every command takes, before or after the verb. */
export interface Globals {
  readonly socket: string | undefined;
  readonly ini: string | undefined;
  readonly json: boolean;
  /** False after --no-color. */
  readonly color: boolean;
}

export interface Call {
  readonly verb: string;
  /** What stands behind the verb and is no option. */
  readonly words: readonly string[];
  readonly options: CallOptions;
  readonly globals: Globals;
}

/** A command's module; resolves with the exit status. */
export interface CommandModule {
  run(call: Call): Promise<number>;
}

/** Options as they were given. Numbers, durations and such are parsed by the commands. */
export class CallOptions {
  readonly #given: Readonly<Record<string, unknown>>;

  constructor(given: Readonly<Record<string, unknown>>) {
    this.#given = given;
  }

  flag(name: string): boolean {
    return this.#given[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#given[name];
    return typeof value === 'string' ? value : undefined;
  }

  many(name: string): readonly string[] {
    const value = this.#given[name];
    return Array.isArray(value) ? value.map(String) : [];
  }
}

export function usageError(message: string): EmperorError {
  return new EmperorError('bad-usage', message);
}

/** Returns the only word of a command that takes one. */
export function onlyWord(call: Call): string {
  return call.words[0] ?? '';
}
