/** What the tables say about an option, and the types that follow from it. */
import type { Kind } from '../kinds/kind.ts';
import type { Trust } from '../line.ts';

/** What a change costs a vassal: nothing restarts, its command restarts, it is rebuilt. */
export type VassalReload = 'live' | 'process' | 'jail';
/** What a change costs the emperor: it takes effect at once, or when it is started again. */
export type EmperorReload = 'live' | 'restart';

export interface Option {
  /** The key in the file. */
  readonly name: string;
  /** Other spellings, uWSGI's. */
  readonly aliases?: readonly string[];
  readonly kind: Kind<unknown>;
  /** As it would be written in the file; null where the option has no value of its own. */
  readonly default: string | null;
  /** What a null default comes to, for the documentation. */
  readonly otherwise?: string;
  /** One sentence. */
  readonly summary: string;
  readonly example: string;
  readonly reload: VassalReload | EmperorReload;
  /** Whose files may set it. */
  readonly trust: Trust;
  /** True if the key may be repeated; its values add up. */
  readonly many: boolean;
  readonly required?: boolean;
  /** Among values of the same identity the one of highest precedence stays. */
  identify?(value: unknown): string;
}

/** Field of the configuration → option. */
export type OptionTable = Readonly<Record<string, Option>>;

type Value<O extends Option> = O['kind'] extends Kind<infer T> ? T : never;

type FieldOf<O extends Option> = O['many'] extends true
  ? readonly Value<O>[]
  : O['default'] extends null
    ? Value<O> | null
    : Value<O>;

/** The configuration that a table describes. */
export type FieldsOf<T extends OptionTable> = { readonly [F in keyof T]: FieldOf<T[F]> };

export function spellingsOf(option: Option): readonly string[] {
  return [option.name, ...(option.aliases ?? [])];
}

const NAMES = new WeakMap<OptionTable, ReadonlyMap<string, Option>>();

/** Every spelling → its option. */
export function namesOf(table: OptionTable): ReadonlyMap<string, Option> {
  const known = NAMES.get(table);
  if (known) return known;
  const names = new Map(
    Object.values(table).flatMap((option) =>
      spellingsOf(option).map((name) => [name, option] as const),
    ),
  );
  NAMES.set(table, names);
  return names;
}
