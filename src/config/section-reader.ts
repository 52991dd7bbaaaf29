/** One section of a configuration file, read line by line: loops are unrolled, includes are handed on. */
import { resolve } from 'node:path';
import type { Budget } from './budget.ts';
import type { Finding, Findings, Place } from './diagnose.ts';
import type { Entry, Section } from './ini.ts';
import { directoryOf, type Line, lineOf, type Reading, type Trust } from './line.ts';
import { expand, refuseSize, type Scope } from './template.ts';

export type IncludeReader = (
  path: string,
) => { readonly text: string } | { readonly error: string };

export interface DocumentSource {
  readonly file: string;
  readonly text: string;
  readonly trust: Trust;
  /** What `%n` stands for. */
  readonly name: string;
  /** `[vassal]` or `[emperor]`; both may be called `[uwsgi]`. */
  readonly section: 'vassal' | 'emperor';
  readonly env: (name: string) => string | undefined;
  readonly readInclude: IncludeReader;
  readonly findings: Findings;
  readonly budget: Budget;
}

/** Reads the file at `path`, which `line` names, into `target`. */
type IncludeInto = (line: Line, path: string, target: Line[]) => void;

interface Loop {
  readonly items: readonly string[];
  readonly place: Place;
}

const INCLUDE_FAULTS: Readonly<Record<Trust, Finding>> = {
  operator: {
    code: 'bad-include',
    message: 'Cannot include a file without a name',
    hint: 'write `include = FILE`',
  },
  // The diagnostics of a file that a tenant names would print it.
  tenant: {
    code: 'operator-only',
    message: "Cannot include anything here: only the operator's files may use `include`",
    hint: 'put the lines into this file',
  },
};

/** As in uWSGI, a loop repeats each line by itself, not the block of them. */
export class SectionReader {
  readonly #source: DocumentSource;
  readonly #reading: Reading;
  readonly #target: Line[];
  readonly #includeInto: IncludeInto;
  #loop: Loop | null = null;

  constructor(
    source: DocumentSource,
    into: { readonly reading: Reading; readonly target: Line[]; readonly include: IncludeInto },
  ) {
    this.#source = source;
    this.#reading = into.reading;
    this.#target = into.target;
    this.#includeInto = into.include;
  }

  read(section: Section): void {
    for (const entry of section.entries) {
      if (entry.key === 'for') this.#openLoop(entry);
      else if (entry.key === 'endfor') this.#closeLoop(entry);
      else this.#repeat(entry);
    }
    if (this.#loop) this.#refuse(this.#loop.place, 'Cannot read the loop: it has no `endfor`');
  }

  #openLoop(entry: Entry): void {
    const text = this.#expand(lineOf(entry, this.#reading, null));
    const items = (text ?? '').split(/[ \t]+/).filter((item) => item !== '');
    const state = this.#loop ? 'it is inside another' : 'it has no items';
    if (this.#loop || (items.length === 0 && text !== undefined)) {
      this.#refuse(entry.keyPlace, `Cannot read this loop: ${state}`);
    }
    this.#loop ??= { items, place: entry.keyPlace };
  }

  #closeLoop(entry: Entry): void {
    if (!this.#loop) this.#refuse(entry.keyPlace, 'Cannot end a loop here: none was begun');
    this.#loop = null;
  }

  #refuse(place: Place, message: string): void {
    this.#source.findings.error(place, {
      code: 'bad-template',
      message,
      hint: 'write `for = a b c`, the lines to repeat with `%(_)`, then `endfor`',
    });
  }

  #repeat(entry: Entry): void {
    const { budget, findings } = this.#source;
    for (const item of this.#loop ? this.#loop.items : [null]) {
      if (!budget.spend(entry.key.length + entry.value.length)) {
        refuseSize(entry.keyPlace, findings);
        return;
      }
      const line = lineOf(entry, this.#reading, item);
      if (entry.key === 'include') this.#include(line);
      else this.#target.push(line);
    }
  }

  #include(line: Line): void {
    const path = line.trust === 'tenant' ? '' : this.#expand(line);
    if (path === undefined) return;
    if (path !== '') this.#includeInto(line, resolve(directoryOf(line), path), this.#target);
    else this.#source.findings.error(line.keyPlace, INCLUDE_FAULTS[line.trust]);
  }

  #expand(line: Line): string | undefined {
    const { name, env, trust } = this.#source;
    const scope: Scope = {
      name,
      file: line.file,
      item: line.item,
      env: trust === 'tenant' ? null : env,
      // Loops and includes decide which keys there are, so they cannot depend on one.
      valueOf: () => undefined,
      hintFor: () => 'loops and includes are read before any key has a value',
    };
    return expand(line.value, line.valuePlace, scope, this.#source);
  }
}
