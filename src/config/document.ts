/**
 * A configuration file with its loops unrolled and its includes put in: the lines of the main section, and
 * those of each `[class NAME]` where the file can have them. Values are still as written.
 */
import { dirname, resolve } from 'node:path';
import type { Budget } from './budget.ts';
import { type Findings, type Place, wholeFile } from './diagnose.ts';
import { type Entry, readIni, type Section } from './ini.ts';
import { type Line, lineOf, type Reading, type Trust } from './line.ts';
import { didYouMean } from './nearest.ts';
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

export interface Document {
  readonly lines: readonly Line[];
  readonly classes: ReadonlyMap<string, readonly Line[]>;
}

const MAX_INCLUDE_DEPTH = 8;
const CLASS = /^class ([a-z0-9][a-z0-9_-]{0,62})$/;

export function readDocument(source: DocumentSource): Document {
  const reader = new DocumentReader(source);
  reader.read(source.text, reader.lines, [source.file]);
  return { lines: reader.lines, classes: reader.classes };
}

class DocumentReader {
  readonly lines: Line[] = [];
  readonly classes = new Map<string, Line[]>();
  readonly #source: DocumentSource;
  #readings = 0;

  constructor(source: DocumentSource) {
    this.#source = source;
  }

  /** Reads one text; `files` are those that include each other down to it. */
  read(text: string, target: Line[], files: readonly string[]): void {
    const file = files.at(-1) ?? '';
    const reading = {
      file,
      trust: this.#source.trust,
      depth: files.length - 1,
      reading: this.#readings++,
    };
    const sections = readIni(file, text, this.#source.findings);
    this.#checkMain(file, sections);
    for (const section of sections) {
      const into = this.#targetOf(section, target);
      if (into)
        new SectionReader(this, this.#source, { reading, target: into, files }).read(section);
    }
  }

  #checkMain(file: string, sections: readonly Section[]): void {
    const mains = sections.filter(({ name }) => this.#isMain(name));
    const other = mains.find(({ name }) => name !== mains[0]?.name);
    if (other) {
      this.#source.findings.error(other.place, {
        code: 'bad-section',
        message: `Cannot use both [${mains[0]?.name}] and [${other.name}]: they mean the same here`,
        hint: 'put all keys into one of them',
      });
    }
    if (sections.length > 0 || this.#source.findings.hasErrors) return;
    this.#source.findings.error(wholeFile(file), {
      code: 'no-section',
      message: `Cannot use ${file}: it has no section`,
      hint: `begin it with \`[${this.#source.section}]\``,
    });
  }

  #isMain(name: string): boolean {
    return name === this.#source.section || name === 'uwsgi';
  }

  #targetOf(section: Section, target: Line[]): Line[] | undefined {
    if (this.#isMain(section.name)) return target;
    const isEmperor = this.#source.section === 'emperor';
    const className = isEmperor ? CLASS.exec(section.name)?.[1] : undefined;
    if (className === undefined) return this.#refuseSection(section);
    const lines = this.classes.get(className) ?? [];
    this.classes.set(className, lines);
    return lines;
  }

  #refuseSection({ name, place }: Section): undefined {
    const { section, findings } = this.#source;
    const known = section === 'emperor' ? ['emperor', 'uwsgi', 'class NAME'] : ['vassal', 'uwsgi'];
    const all = known.map((each) => `[${each}]`).join(', ');
    const close = name.startsWith('class ')
      ? 'a class has a name of small letters, digits, `_` and `-`'
      : didYouMean(name, known);
    findings.error(place, {
      code: 'bad-section',
      message: `Cannot use the section [${name}]: this file can have ${all}`,
      hint: close ?? `put its keys into \`[${section}]\``,
    });
  }

  /** Reads the file that `line` names into the same section. */
  include(line: Line, path: string, target: Line[], files: readonly string[]): void {
    const { budget, findings, readInclude } = this.#source;
    const found = includeFault(path, files) ?? readInclude(path);
    if ('error' in found) {
      findings.error(line.valuePlace, {
        code: 'bad-include',
        message: `Cannot include ${path}: ${found.error}`,
        hint: 'name a readable file; a relative path goes by the including file',
      });
    } else if (budget.spend(found.text.length)) {
      this.read(found.text, target, [...files, path]);
    } else {
      refuseSize(line.valuePlace, findings);
    }
  }
}

function includeFault(
  path: string,
  files: readonly string[],
): { readonly error: string } | undefined {
  if (files.includes(path)) return { error: 'it would include itself' };
  if (files.length <= MAX_INCLUDE_DEPTH) return undefined;
  return { error: `includes go more than ${MAX_INCLUDE_DEPTH} deep` };
}

interface Loop {
  readonly items: readonly string[];
  readonly place: Place;
}

/** Reads the entries of one section, line by line; a loop repeats each line, not the block (as in uWSGI). */
class SectionReader {
  readonly #documents: DocumentReader;
  readonly #source: DocumentSource;
  readonly #reading: Reading;
  readonly #target: Line[];
  readonly #files: readonly string[];
  #loop: Loop | null = null;

  constructor(
    documents: DocumentReader,
    source: DocumentSource,
    into: {
      readonly reading: Reading;
      readonly target: Line[];
      readonly files: readonly string[];
    },
  ) {
    this.#documents = documents;
    this.#source = source;
    this.#reading = into.reading;
    this.#target = into.target;
    this.#files = into.files;
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
    const items = text.split(/[ \t]+/).filter((item) => item !== '');
    const state = this.#loop ? 'it is inside another' : 'it has no items';
    if (this.#loop || items.length === 0) {
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
    if (path !== '') {
      const absolute = resolve(dirname(line.file), path);
      this.#documents.include(line, absolute, this.#target, this.#files);
    } else if (line.trust === 'tenant') {
      // The diagnostics of a file that a tenant names would print it.
      this.#source.findings.error(line.keyPlace, {
        code: 'operator-only',
        message: "Cannot include anything here: only the operator's files may use `include`",
        hint: 'put the lines into this file',
      });
    } else {
      this.#source.findings.error(line.valuePlace, {
        code: 'bad-include',
        message: 'Cannot include a file without a name',
        hint: 'write `include = FILE`',
      });
    }
  }

  #expand(line: Line): string {
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
