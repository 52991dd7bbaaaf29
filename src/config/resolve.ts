/**
 * Lines of several layers against an option table: which line wins, and what it says. The same code
 * resolves emperor.ini and every vassal. Pure but for what `env` and look-ups read.
 */
import { columnAt } from './characters.ts';
import { type Place, wholeFile } from './diagnose.ts';
import type { Fault, KindContext } from './kinds/kind.ts';
import { directoryOf, type Line } from './line.ts';
import { LineTexts, outermost, type TextSource } from './line-text.ts';
import type { FieldsOf, Option, OptionTable } from './options/option.ts';
import { type Layer, type SortSource, sortLines } from './sort-lines.ts';

export interface ResolveSource<T extends OptionTable>
  extends Omit<KindContext, 'directory'>,
    TextSource,
    SortSource {
  readonly table: T;
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
  const sorted = sortLines(source);
  const chooser = new Chooser(source, new LineTexts(source, sorted));
  const fields: Record<string, unknown> = {};
  const values: ResolvedValue[] = [];
  for (const [field, option] of Object.entries(source.table)) {
    const chosen = chooser.choose(option, sorted.get(option) ?? []);
    fields[field] = option.many ? chosen.map(({ value }) => value) : (chosen[0]?.value ?? null);
    for (const { line, value } of chosen) {
      values.push({ key: option.name, value: option.kind.print(value), origin: line.origin });
    }
  }
  // The table says which field holds what; without findings each of them was read by its kind.
  return { fields: source.findings.hasErrors ? undefined : (fields as FieldsOf<T>), values };
}

interface Chosen {
  readonly line: Line;
  readonly value: unknown;
}

class Chooser {
  readonly #source: ResolveSource<OptionTable>;
  readonly #texts: LineTexts;

  constructor(source: ResolveSource<OptionTable>, texts: LineTexts) {
    this.#source = source;
    this.#texts = texts;
  }

  choose(option: Option, layers: readonly Layer[]): readonly Chosen[] {
    const all = layers.flatMap(({ lines }) => lines);
    if (all.length === 0) return this.#chooseDefault(option);
    if (option.many) return this.#merge(option, all);
    this.#noteFinal(option, layers);
    // Every line is read, so that a mistake shows before the line that hides it is taken away.
    const read = layers.map((layer) => this.#readLayer(option, layer));
    return read.slice(-1).filter((chosen) => chosen !== undefined);
  }

  #chooseDefault(option: Option): readonly Chosen[] {
    const line = this.#texts.defaultOf(option);
    const chosen = line && this.#read(option, line);
    if (chosen) return [chosen];
    if (option.required) {
      this.#source.findings.error(wholeFile(this.#source.file), {
        code: 'missing-key',
        message: `Cannot go without \`${option.name}\`: it is required`,
        hint: `add a line such as \`${option.name} = ${option.example}\``,
      });
    }
    return [];
  }

  #readLayer(option: Option, { lines }: Layer): Chosen | undefined {
    this.#refuseDuplicates(lines);
    const winner = outermost(lines);
    return lines
      .map((line) => this.#read(option, line))
      .find((chosen) => chosen !== undefined && chosen.line === winner);
  }

  /** The same key twice in one file is a mistake; a file and what it includes may both have it. */
  #refuseDuplicates(lines: readonly Line[]): void {
    const first = new Map<number, Line>();
    for (const line of lines) {
      const earlier = first.get(line.reading);
      first.set(line.reading, earlier ?? line);
      if (!earlier || !isSameReading(earlier, line)) continue;
      const isLoop = line.keyPlace.line === earlier.keyPlace.line;
      const where = isLoop ? 'a loop repeats it' : `line ${earlier.keyPlace.line} has it already`;
      this.#source.findings.error(line.keyPlace, {
        code: 'duplicate-key',
        message: `Cannot use \`${line.key}\` twice: ${where}, and it takes one value`,
        hint: 'keep one of them',
      });
    }
  }

  #noteFinal(option: Option, layers: readonly Layer[]): void {
    const own = layers.find(({ kind }) => kind === 'file')?.lines[0];
    if (layers.at(-1)?.kind !== 'final' || !own) return;
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
      const earlier = merged.get(identity)?.line;
      if (earlier && isSameReading(earlier, line)) this.#noteReplaced(earlier, line);
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

  #read(option: Option, line: Line): Chosen | undefined {
    const text = this.#texts.of(option, line);
    if (text === undefined) return undefined;
    const { lookupUser, lookupGroup, findings } = this.#source;
    const context = { directory: directoryOf(line), lookupUser, lookupGroup };
    const parsed = option.kind.parse(text, context);
    if ('fault' in parsed) {
      for (const fault of [parsed.fault, ...(parsed.more ?? [])]) {
        findings.error(placeOf(fault, line, text), {
          code: 'bad-value',
          message: `Cannot use \`${option.name}\`: ${fault.message}`,
          hint: fault.hint,
        });
      }
      return undefined;
    }
    for (const warning of parsed.warnings ?? []) {
      findings.warning(placeOf(warning, line, text), {
        code: warning.code,
        message: `Mind \`${option.name}\`: ${warning.message}`,
        hint: warning.hint,
      });
    }
    return { line, value: parsed.value };
  }
}

function isSameReading(a: Line, b: Line): boolean {
  return a.reading === b.reading && a.file === b.file && a.reading >= 0;
}

/** A fault's own column where the text is what stands in the file, else the value's. */
function placeOf({ offset }: Fault, { value, valuePlace }: Line, text: string): Place {
  if (offset === undefined || text !== value) return valuePlace;
  return { ...valuePlace, column: valuePlace.column + columnAt(value, offset) - 1 };
}
