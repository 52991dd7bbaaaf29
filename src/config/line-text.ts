/**
 * What a line says once its placeholders are replaced.
 *
 * Placeholders never cross trust: `%(key)` in an operator's line sees the operator's lines only, else a
 * tenant's command could end up in a hook that root runs; in a tenant's line it sees the tenant's own.
 */

import { didYouMean } from '../base/nearest.ts';
import { codePointName, forbiddenAt, trimBlanks } from './characters.ts';
import { wholeFile } from './diagnose.ts';
import { type Line, madeLine, type Trust } from './line.ts';
import { namesOf, type Option, type OptionTable } from './options/option.ts';
import type { SortedLines } from './sort-lines.ts';
import { type Expansion, expand, type Scope } from './template.ts';

export interface TextSource extends Expansion {
  readonly table: OptionTable;
  readonly name: string;
  readonly file: string;
  readonly env: (name: string) => string | undefined;
}

export class LineTexts {
  readonly #source: TextSource;
  readonly #lines: SortedLines;
  /** Options whose placeholders are being replaced just now. */
  readonly #open = new Set<Option>();

  constructor(source: TextSource, lines: SortedLines) {
    this.#source = source;
    this.#lines = lines;
  }

  /** Returns the text; undefined if there is none, or it holds what no value may. */
  of(option: Option, line: Line): string | undefined {
    if (line.isLiteral) return line.value;
    this.#open.add(option);
    const expanded = expand(line.value, line.valuePlace, this.#scopeOf(line), this.#source);
    this.#open.delete(option);
    if (expanded === undefined) return undefined;
    const text = trimBlanks(expanded);
    const bad = text === line.value ? -1 : forbiddenAt(text);
    if (bad < 0) return text;
    const name = codePointName(text, bad);
    this.#source.findings.error(line.valuePlace, {
      code: 'control-character',
      message: `Cannot use \`${option.name}\`: with its placeholders replaced it holds ${name}`,
      hint: 'a value is one line of visible text',
    });
    return undefined;
  }

  /** The option's default as a line; undefined if it has none. */
  defaultOf(option: Option): Line | undefined {
    if (option.default === null) return undefined;
    const { file } = this.#source;
    const line = { key: option.name, value: option.default, file, origin: 'built-in default' };
    return madeLine(line, wholeFile(file));
  }

  #scopeOf(line: Line): Scope {
    const { name, env } = this.#source;
    return {
      name,
      file: line.file,
      item: line.item,
      env: line.trust === 'tenant' ? null : env,
      valueOf: (key) => this.#placeholder(key, line.trust),
      hintFor: (key) => this.#hintFor(key),
    };
  }

  /** What `%(key)` stands for: of a key with many values the first. */
  #placeholder(key: string, trust: Trust): string | undefined {
    const option = namesOf(this.#source.table).get(key);
    if (!option || this.#open.has(option)) return undefined;
    const line = this.#lineFor(option, trust);
    return line ? this.of(option, line) : undefined;
  }

  /** The line of that trust which wins; the default only where nobody says anything else. */
  #lineFor(option: Option, trust: Trust): Line | undefined {
    const layers = this.#lines.get(option);
    if (!layers) return this.defaultOf(option);
    for (const { lines } of layers.toReversed()) {
      const own = lines.filter((line) => line.trust === trust);
      const winner = option.many ? own[0] : outermost(own);
      if (winner) return winner;
    }
    return undefined;
  }

  #hintFor(key: string): string | undefined {
    const names = namesOf(this.#source.table);
    const option = names.get(key);
    if (!option) return didYouMean(key, names.keys());
    if (this.#open.has(option)) return 'it would stand for itself, directly or through others';
    return `\`${option.name}\` has no value that this line may see`;
  }
}

/** The line that wins in one layer: the outermost; of two includes the later. */
export function outermost(lines: readonly Line[]): Line | undefined {
  return lines.reduce<Line | undefined>(
    (winner, line) => (!winner || line.depth <= winner.depth ? line : winner),
    undefined,
  );
}
