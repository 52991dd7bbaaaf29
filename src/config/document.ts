/**
 * A configuration file with its loops unrolled and its includes put in: the lines of the main section, and
 * those of each `[class NAME]` where the file can have them. Values are still as written.
 */

import { didYouMean } from '../base/nearest.ts';
import { wholeFile } from './diagnose.ts';
import { readIni, type Section } from './ini.ts';
import type { Line } from './line.ts';
import { type DocumentSource, SectionReader } from './section-reader.ts';
import { refuseSize } from './template.ts';

export type { DocumentSource, IncludeReader } from './section-reader.ts';

export interface Document {
  readonly lines: readonly Line[];
  readonly classes: ReadonlyMap<string, readonly Line[]>;
}

const MAX_INCLUDE_DEPTH = 8;
const CLASS = /^class ([a-z0-9][a-z0-9_-]{0,62})$/;

const CLASS_HINTS = {
  emperor: 'a class has a name of small letters, digits, `_` and `-`, such as `[class small]`',
  vassal: 'classes are declared in emperor.ini; here write `class = NAME`',
} as const;

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
    const include = (line: Line, path: string, into: Line[]) =>
      this.#include(line, path, into, files);
    for (const section of sections) {
      const into = this.#targetOf(section, target);
      if (into) new SectionReader(this.#source, { reading, target: into, include }).read(section);
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
    const isClass = name === 'class' || name.startsWith('class ');
    const hint = isClass ? CLASS_HINTS[section] : didYouMean(name, known);
    findings.error(place, {
      code: 'bad-section',
      message: `Cannot use the section [${name}]: this file can have ${all}`,
      hint: hint ?? `put its keys into \`[${section}]\``,
    });
  }

  /** Reads the file that `line` names into the same section. */
  #include(line: Line, path: string, target: Line[], files: readonly string[]): void {
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
