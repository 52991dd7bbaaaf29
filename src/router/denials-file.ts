/** state-dir/denials.json: what DenialTotals has counted, for the next router. */
import type { Clock } from '../base/clock.ts';
import { isSystemError, messageOf } from '../base/errors.ts';
import { prepareStateFile, readStateFile, writeStateFile } from '../base/state-file.ts';
import { CHAIN_NAMES } from '../firewall/rule.ts';
import type { Denials } from './gates.ts';

const VERSION = 1;
/** A router that is killed loses what was denied since. */
const SAVE_MS = 10_000;

export class DenialsFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #say: (line: string) => void;
  #saved = '';
  #isFailing = false;
  #hasEnded = false;
  #cancel: () => void = () => {};

  constructor(options: {
    readonly path: string;
    readonly clock: Clock;
    /** Hears of a disk that does not take it, once. */
    readonly say: (line: string) => void;
  }) {
    this.#path = options.path;
    this.#clock = options.clock;
    this.#say = options.say;
  }

  /** What an earlier router has saved; nothing where that cannot be read. */
  read(): readonly Denials[] {
    const { version, denials } = (readStateFile(this.#path) ?? {}) as {
      readonly version?: unknown;
      readonly denials?: unknown;
    };
    return version === VERSION && Array.isArray(denials) ? denials.filter(isDenials) : [];
  }

  /** Saves what `list` returns, every 10 s if it is something else by then. */
  keep(list: () => readonly Denials[]): void {
    if (this.#hasEnded) return;
    this.#cancel = this.#clock.after(SAVE_MS, () => {
      void this.#save(list()).then(() => this.keep(list));
    });
  }

  /** Saves for the last time. */
  end(list: readonly Denials[]): void {
    this.#hasEnded = true;
    this.#cancel();
    try {
      writeStateFile(this.#path, contentOf(list));
    } catch (error) {
      this.#fail(error);
    }
  }

  async #save(list: readonly Denials[]): Promise<void> {
    const content = contentOf(list);
    const text = JSON.stringify(content);
    if (text === this.#saved) return;
    try {
      const place = await prepareStateFile(this.#path, content);
      // What was saved for the last time meanwhile is newer.
      if (this.#hasEnded) return;
      place();
      this.#saved = text;
      this.#isFailing = false;
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A full disk must not keep packets from going. */
  #fail(error: unknown): void {
    if (!isSystemError(error)) throw error;
    if (!this.#isFailing) this.#say(`Cannot save what was denied: ${messageOf(error)}`);
    this.#isFailing = true;
  }
}

function contentOf(denials: readonly Denials[]) {
  return { version: VERSION, denials };
}

function isDenials(json: unknown): json is Denials {
  const { chain, rule, vassal, count } = (json ?? {}) as Readonly<Record<string, unknown>>;
  return (
    CHAIN_NAMES.some((name) => name === chain) &&
    typeof rule === 'string' &&
    (vassal === null || typeof vassal === 'string') &&
    Number.isSafeInteger(count)
  );
}
