/**
 * Lines of several layers against an option table: unknown keys, who may set what, which line wins, what it
 * says. The same code resolves emperor.ini and every vassal. Pure but for what `env` and look-ups read.
 *
 * Placeholders never cross trust: `%(key)` in an operator's line sees the operator's lines only, else a
 * tenant's command could end up in a hook that root runs; in a tenant's line it sees the tenant's own.
 */
import type { Budget } from './budget.ts';
import { codePointName, columnAt, forbiddenAt, trimBlanks } from './characters.ts';
import { type Findings, type Place, wholeFile } from './diagnose.ts';
import type { Fault, KindContext } from './kinds/kind.ts';
import { directoryOf, type Line, madeLine, type Trust } from './line.ts';
import { didYouMean } from './nearest.ts';
import { type FieldsOf, namesOf, type Option, type OptionTable } from './options/option.ts';
import { expand, type Scope } from './template.ts';

export type LayerKind = 'emperor' | 'vassal-set' | 'class' | 'file' | 'set' | 'final';

export interface Layer {
  readonly kind: LayerKind;
  readonly lines: readonly Line[];
}

export interface ResolveSource<T extends OptionTable> extends Omit<KindContext, 'directory'> {
  readonly table: T;
  /** Keys that may be there and set no option. */
  readonly ignored: readonly string[];
  /** Further keys, for suggestions. */
  readonly known: readonly string[];
  /** Lowest precedence first. */
  readonly layers: readonly Layer[];
  readonly name: string;
  readonly file: string;
  readonly env: (name: string) => string | undefined;
  readonly findings: Findings;
  readonly budget: Budget;
}

/** One key of `emperor cat --resolved`. */
export interface ResolvedValue {
  readonly key: string;
  readonly value: string;
  readonly origin: string;
}

export interface Resolved<T extends OptionTable> {
  /** Undefined if anything is wrong. */
  readonly fields: FieldsOf<T> | undefined;
  /** In the order of the table; keys without a value are left out. */
  readonly values: readonly ResolvedValue[];
}

export function resolveOptions<T extends OptionTable>(source: ResolveSource<T>): Resolved<T> {
  return new Resolver(source).resolve();
}

interface Chosen {
  readonly line: Line;
  readonly value: unknown;
}

class Resolver<T extends OptionTable> {
  readonly #source: ResolveSource<T>;
  /** Lines of each option by layer, lowest first; layers without any are left out. */
  readonly #lines = new Map<Option, Layer[]>();
  /** Options whose placeholders are being replaced just now. */
  readonly #open = new Set<Option>();

  constructor(source: ResolveSource<T>) {
    this.#source = source;
  }

  resolve(): Resolved<T> {
    for (const layer of this.#source.layers) this.#sort(layer);
    const fields: Record<string, unknown> = {};
    const values: ResolvedValue[] = [];
    for (const [field, option] of Object.entries(this.#source.table)) {
      const chosen = this.#choose(option);
      fields[field] = option.many ? chosen.map(({ value }) => value) : (chosen[0]?.value ?? null);
      for (const { line, value } of chosen) {
        values.push({ key: option.name, value: option.kind.print(value), origin: line.origin });
      }
    }
    // The table says which field holds what; without findings each of them was read by its kind.
    const whole = this.#source.findings.hasErrors ? undefined : (fields as FieldsOf<T>);
    return { fields: whole, values };
  }

  // ── which lines speak of which option ────────────────────────────────────────────────────────

  #sort({ kind, lines }: Layer): void {
    const names = namesOf(this.#source.table);
    const sorted = new Map<Option, Line[]>();
    for (const line of lines) {
      const option = names.get(line.key);
      if (!option) this.#judgeUnknown(line, names);
      else if (line.trust === 'tenant' && option.trust === 'operator') this.#refuseTenant(line);
      else append(sorted, option, line);
    }
    for (const [option, own] of sorted) append(this.#lines, option, { kind, lines: own });
  }

  #judgeUnknown(line: Line, names: ReadonlyMap<string, Option>): void {
    const { ignored, known, findings } = this.#source;
    if (ignored.includes(line.key)) return;
    const hint = didYouMean(line.key, [...names.keys(), ...known]);
    findings.error(line.keyPlace, {
      code: 'unknown-key',
      message: `There is no key \`${abbreviated(line.key)}\``,
      hint: hint ?? 'docs/options.md lists all keys',
    });
  }

  #refuseTenant(line: Line): void {
    this.#source.findings.error(line.keyPlace, {
      code: 'operator-only',
      message: `Cannot set \`${line.key}\` here: only the operator's files may`,
      hint: 'leave it out, or ask the operator to set it',
    });
  }

  // ── which of them wins ───────────────────────────────────────────────────────────────────────

  #choose(option: Option): readonly Chosen[] {
    const layers = this.#lines.get(option) ?? [];
    if (layers.length === 0) return this.#chooseDefault(option);
    if (option.many)
      return this.#merge(
        option,
        layers.flatMap(({ lines }) => lines),
      );
    // Every line is read, so that a mistake shows before the line that hides it is taken away.
    const read = layers.map((layer) => this.#readLayer(option, layer));
    this.#noteFinal(option, layers);
    const winner = read.at(-1);
    return winner ? [winner] : [];
  }

  #chooseDefault(option: Option): readonly Chosen[] {
    if (option.default !== null) {
      const chosen = this.#read(option, this.#defaultLine(option, option.default));
      return chosen ? [chosen] : [];
    }
    if (option.required) {
      this.#source.findings.error(wholeFile(this.#source.file), {
        code: 'missing-key',
        message: `Cannot go without \`${option.name}\`: it is required`,
        hint: `add a line such as \`${option.name} = ${option.example}\``,
      });
    }
    return [];
  }

  #defaultLine(option: Option, value: string): Line {
    const { file } = this.#source;
    return madeLine({ key: option.name, value, file, origin: 'built-in default' }, wholeFile(file));
  }

  #readLayer(option: Option, { lines }: Layer): Chosen | undefined {
    const winner = this.#winnerOf(lines);
    let chosen: Chosen | undefined;
    for (const line of lines) {
      const read = this.#read(option, line);
      if (line === winner) chosen = read;
    }
    return chosen;
  }

  /** The outermost line; of two includes the later. The same key twice in one file is a mistake. */
  #winnerOf(lines: readonly Line[]): Line | undefined {
    const first = new Map<number, Line>();
    let winner: Line | undefined;
    for (const line of lines) {
      const earlier = first.get(line.reading);
      if (earlier && line.reading >= 0) this.#refuseDuplicate(line, earlier);
      else first.set(line.reading, line);
      if (!winner || line.depth <= winner.depth) winner = line;
    }
    return winner;
  }

  #refuseDuplicate(line: Line, earlier: Line): void {
    const isLoop = line.keyPlace.line === earlier.keyPlace.line;
    const where = isLoop ? 'a loop repeats it' : `line ${earlier.keyPlace.line} has it already`;
    this.#source.findings.error(line.keyPlace, {
      code: 'duplicate-key',
      message: `Cannot use \`${line.key}\` twice: ${where}, and it takes one value`,
      hint: 'keep one of them',
    });
  }

  #noteFinal(option: Option, layers: readonly Layer[]): void {
    const top = layers.at(-1);
    const own = layers.find(({ kind }) => kind === 'file')?.lines[0];
    if (top?.kind !== 'final' || !own) return;
    this.#source.findings.warning(own.keyPlace, {
      code: 'has-no-effect',
      message: `This line changes nothing: the operator's \`final ${option.name}\` wins`,
      hint: 'leave it out',
    });
  }

  /** Values add up, lowest precedence first; of those with the same identity the last stays. */
  #merge(option: Option, lines: readonly Line[]): readonly Chosen[] {
    const merged = new Map<unknown, Chosen>();
    for (const line of lines) {
      const chosen = this.#read(option, line);
      if (!chosen) continue;
      const identity = option.identify ? option.identify(chosen.value) : line;
      const earlier = merged.get(identity);
      if (earlier && isSameReading(earlier.line, line)) this.#noteReplaced(earlier.line, line);
      merged.delete(identity);
      merged.set(identity, chosen);
    }
    return [...merged.values()];
  }

  #noteReplaced(earlier: Line, later: Line): void {
    this.#source.findings.warning(earlier.keyPlace, {
      code: 'has-no-effect',
      message: `This line changes nothing: line ${later.keyPlace.line} replaces it`,
      hint: 'keep one of them',
    });
  }

  // ── what a line says ─────────────────────────────────────────────────────────────────────────

  #read(option: Option, line: Line): Chosen | undefined {
    const text = this.#textOf(option, line);
    if (text === undefined) return undefined;
    const { lookupUser, lookupGroup, findings } = this.#source;
    const context = { directory: directoryOf(line), lookupUser, lookupGroup };
    const parsed = option.kind.parse(text, context);
    if ('fault' in parsed) {
      findings.error(placeOf(parsed.fault, line, text), {
        code: 'bad-value',
        message: `Cannot use \`${option.name}\`: ${parsed.fault.message}`,
        hint: parsed.fault.hint,
      });
      return undefined;
    }
    if (parsed.warning) {
      findings.warning(placeOf(parsed.warning, line, text), {
        code: 'shell-syntax',
        message: `Mind \`${option.name}\`: ${parsed.warning.message}`,
        hint: parsed.warning.hint,
      });
    }
    return { line, value: parsed.value };
  }

  /** The value with its placeholders replaced; undefined if it holds what no value may. */
  #textOf(option: Option, line: Line): string | undefined {
    if (line.isLiteral) return line.value;
    const { findings } = this.#source;
    this.#open.add(option);
    const text = trimBlanks(expand(line.value, line.valuePlace, this.#scopeOf(line), this.#source));
    this.#open.delete(option);
    const bad = text === line.value ? -1 : forbiddenAt(text);
    if (bad < 0) return text;
    findings.error(line.valuePlace, {
      code: 'control-character',
      message: `Cannot use \`${option.name}\`: with its placeholders replaced it holds ${codePointName(text, bad)}`,
      hint: 'a value is one line of visible text',
    });
    return undefined;
  }

  #scopeOf(line: Line): Scope {
    const { name, env, table } = this.#source;
    return {
      name,
      file: line.file,
      item: line.item,
      env: line.trust === 'tenant' ? null : env,
      valueOf: (key) => this.#placeholder(key, line.trust),
      hintFor: (key) =>
        namesOf(table).has(key) ? undefined : didYouMean(key, namesOf(table).keys()),
    };
  }

  /** What `%(key)` stands for: of a key with many values the first. */
  #placeholder(key: string, trust: Trust): string | undefined {
    const option = namesOf(this.#source.table).get(key);
    if (!option || this.#open.has(option)) return undefined;
    const line = this.#lineFor(option, trust);
    return line ? this.#textOf(option, line) : undefined;
  }

  #lineFor(option: Option, trust: Trust): Line | undefined {
    const layers = this.#lines.get(option) ?? [];
    for (const { lines } of [...layers].reverse()) {
      const own = lines.filter((line) => line.trust === trust);
      const winner = option.many ? own[0] : outermost(own);
      if (winner) return winner;
    }
    return option.default === null ? undefined : this.#defaultLine(option, option.default);
  }
}

function isSameReading(a: Line, b: Line): boolean {
  return a.reading === b.reading && a.file === b.file && a.reading >= 0;
}

function outermost(lines: readonly Line[]): Line | undefined {
  return lines.reduce<Line | undefined>(
    (winner, line) => (!winner || line.depth <= winner.depth ? line : winner),
    undefined,
  );
}

/** A fault's own column where the text is what stands in the file, else the value's. */
function placeOf({ offset }: Fault, { value, valuePlace }: Line, text: string): Place {
  if (offset === undefined || text !== value) return valuePlace;
  return { ...valuePlace, column: valuePlace.column + columnAt(value, offset) - 1 };
}

function abbreviated(key: string): string {
  return key.length > 60 ? `${key.slice(0, 60)}…` : key;
}

function append<K, V>(lists: Map<K, V[]>, key: K, item: V): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}
