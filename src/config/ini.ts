/**
 * The line reader: text → sections of `key = value` entries with exact positions. It knows no option and
 * replaces nothing. Comments stand at line starts only, a value is the rest of its line, repeated keys keep
 * their order; all else is a finding. It never throws, whatever the text.
 */
import { codePointName, columnAt, forbiddenAt, trimBlanks } from './characters.ts';
import { type Finding, type Findings, type Place, wholeFile } from './diagnose.ts';

export const MAX_TEXT_BYTES = 64 * 1024;

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly keyPlace: Place;
  readonly valuePlace: Place;
}

export interface Section {
  readonly name: string;
  readonly place: Place;
  readonly entries: readonly Entry[];
}

/** The only word that may stand without `=`: it ends a loop and has no value. */
const BARE_WORD = 'endfor';

/** Reads `text`; what cannot be read is left out and told to `findings`. */
export function readIni(file: string, text: string, findings: Findings): readonly Section[] {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) {
    findings.error(wholeFile(file), {
      code: 'file-size',
      message: `Cannot read ${file}: it is larger than 64 KiB`,
      hint: 'move long commands into a script, or split the file',
    });
    return [];
  }
  const reader = new LineReader(file, findings);
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  for (const [index, line] of lines.entries()) reader.read(line.replace(/\r$/, ''), index + 1);
  return reader.sections;
}

class LineReader {
  readonly sections: Section[] = [];
  readonly #file: string;
  readonly #findings: Findings;
  #entries: Entry[] | null = null;

  constructor(file: string, findings: Findings) {
    this.#file = file;
    this.#findings = findings;
  }

  read(text: string, line: number): void {
    const start = text.search(/[^ \t]/);
    if (start < 0) return;
    const placeAt = (index: number): Place => ({
      file: this.#file,
      line,
      column: columnAt(text, index),
      text,
    });
    const bad = forbiddenAt(text);
    const first = text[start];
    if (bad >= 0) this.#refuseCharacter(text, bad, placeAt(bad));
    else if (first === ';' || first === '#') return;
    else if (first === '[') this.#readSection(trimBlanks(text), placeAt(start));
    else this.#readEntry(text, start, placeAt);
  }

  #refuseCharacter(text: string, index: number, place: Place): void {
    const name = codePointName(text, index);
    this.#findings.error(place, {
      code: 'control-character',
      message: `Cannot read this line: it holds the control character ${name}`,
      hint: name === 'U+000D' ? 'end lines by LF or CR LF' : 'remove it',
    });
  }

  #readSection(text: string, place: Place): void {
    // Entries of a section that cannot be read are not taken for the one before.
    this.#entries = [];
    const name = /^\[([^[\]]*)\]$/.exec(text)?.[1];
    if (name === undefined) {
      this.#findings.error(place, {
        code: 'bad-section',
        message: `Cannot read the section ${text}: it is not one name between brackets`,
        hint: 'write it as `[vassal]`, alone on its line',
      });
      return;
    }
    const normal = trimBlanks(name).replaceAll(/[ \t]+/g, ' ');
    this.sections.push({ name: normal, place, entries: this.#entries });
  }

  #readEntry(text: string, start: number, placeAt: (index: number) => Place): void {
    const equals = text.indexOf('=');
    const key = trimBlanks(equals < 0 ? text : text.slice(0, equals)).replaceAll(/[ \t]+/g, ' ');
    const keyPlace = placeAt(start);
    const fault = this.#faultOf(key, equals >= 0);
    if (fault) return void this.#findings.error(keyPlace, fault);
    const rest = equals < 0 ? '' : text.slice(equals + 1);
    const valueAt = text.length - rest.length + Math.max(rest.search(/[^ \t]/), 0);
    this.#entries?.push({ key, value: trimBlanks(rest), keyPlace, valuePlace: placeAt(valueAt) });
  }

  #faultOf(key: string, hasEquals: boolean): Finding | undefined {
    if (key === '' || (!hasEquals && key !== BARE_WORD)) {
      const state = key === '' ? 'it has no key before `=`' : 'it has no `=`';
      return {
        code: 'bad-line',
        message: `Cannot read this line: ${state}`,
        hint: 'write `key = value`, or `;` at the start for a comment',
      };
    }
    if (this.#entries) return undefined;
    return {
      code: 'outside-section',
      message: `Cannot use \`${key}\` here: it stands before any section`,
      hint: 'put a line such as `[vassal]` above it',
    };
  }
}
