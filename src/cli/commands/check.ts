/** `emperor check [FILE…]`: validates without a daemon. The findings are the data, so they go to stdout. */
import { resolve } from 'node:path';
import { type Diagnostic, EmperorError } from '../../base/errors.ts';
import { renderDiagnostics } from '../../config/render/diagnostics.ts';
import type { Call } from '../call.ts';
import { fileChecker, vassalFilesOf } from '../check-files.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, say } from '../output.ts';
import { defaultSettings, iniFileOf, loadSettings, type OpenSettings } from '../settings.ts';

export async function run({ words, globals }: Call): Promise<number> {
  const iniFile = iniFileOf(globals.ini);
  const { checked, diagnostics } = check(words, iniFile);
  if (globals.json) printJson(diagnostics);
  else {
    print(renderDiagnostics(diagnostics));
    say(summaryOf(checked, diagnostics));
  }
  return diagnostics.some(isError) ? EXIT.no : EXIT.done;
}

interface Verdict {
  /** How many files were looked at. */
  readonly checked: number;
  readonly diagnostics: readonly Diagnostic[];
}

function check(words: readonly string[], iniFile: string | undefined): Verdict {
  const settings = openSettings(iniFile);
  if (!('config' in settings)) return { checked: 1, diagnostics: settings.diagnostics };
  const isIni = (file: string) => iniFile !== undefined && resolve(file) === resolve(iniFile);
  const isIniWanted = words.length === 0 || words.some(isIni);
  const named = words.filter((file) => !isIni(file));
  const files = words.length > 0 ? named : vassalFilesOf(settings.config);
  const checkFile = fileChecker(settings);
  const ofFiles = files.flatMap((file) => checkFile(file).diagnostics);
  // Nobody said where the distros are, so nothing is known about them.
  const told = iniFile === undefined ? ofFiles.filter(isNotAboutDistros) : ofFiles;
  return {
    checked: files.length + (isIniWanted ? 1 : 0),
    diagnostics: [...(isIniWanted ? settings.diagnostics : []), ...told],
  };
}

/** A broken emperor.ini leaves nothing to judge vassals by; its findings are the answer. */
function openSettings(
  iniFile: string | undefined,
): OpenSettings | { readonly diagnostics: readonly Diagnostic[] } {
  if (iniFile === undefined) return defaultSettings();
  try {
    return loadSettings(iniFile);
  } catch (error) {
    const isAnswer = error instanceof EmperorError && error.diagnostics.length > 0;
    if (isAnswer) return { diagnostics: error.diagnostics };
    throw error;
  }
}

function isNotAboutDistros({ code }: Diagnostic): boolean {
  return code !== 'unknown-distro' && code !== 'no-distro';
}

function isError({ severity }: Diagnostic): boolean {
  return severity === 'error';
}

/** Pure. */
export function summaryOf(checked: number, diagnostics: readonly Diagnostic[]): string {
  const errors = diagnostics.filter(isError).length;
  const warnings = diagnostics.length - errors;
  return `${counted(checked, 'file')}: ${counted(errors, 'error')}, ${counted(warnings, 'warning')}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
