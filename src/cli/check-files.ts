/** Vassal files judged as the emperor would judge them, without an emperor. */
import { readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { readEnvironment } from '../base/environment.ts';
import { type Diagnostic, EmperorError, isErrno } from '../base/errors.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import { vassalNameOfFile } from '../config/names.ts';
import { IdentityStore } from '../emperor/identity-store.ts';
import { readVassalFile } from '../emperor/read-vassal-file.ts';
import { type ResolveContext, resolveText } from '../emperor/roster.ts';
import type { IncludeResult } from '../emperor/settings.ts';

export interface CheckSource {
  readonly config: EmperorConfig;
  readonly readInclude: (path: string) => IncludeResult;
}

export interface CheckedFile {
  readonly name: string;
  readonly diagnostics: readonly Diagnostic[];
  /** What would run; undefined where the file is refused. */
  readonly wanted: ReturnType<typeof resolveText>['wanted'];
}

/** Paths of all vassal files in the configured directories, in the order of their names. */
export function vassalFilesOf({ vassalDirectories }: EmperorConfig): readonly string[] {
  return vassalDirectories.flatMap((directory) =>
    namesIn(directory)
      .filter((file) => vassalNameOfFile(file) !== undefined)
      .sort()
      .map((file) => join(directory, file)),
  );
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT', 'ENOTDIR', 'EACCES')) throw cause;
    const message = `Cannot read the vassal directory ${directory}: ${cause instanceof Error ? cause.message : ''}`;
    throw new EmperorError('bad-config', message, { cause });
  }
}

/** Returns what checks one file after another. */
export function fileChecker(source: CheckSource): (path: string) => CheckedFile {
  const context = contextOf(source);
  return (path) => checkFile(resolve(path), context);
}

function checkFile(file: string, context: ResolveContext): CheckedFile {
  const known = vassalNameOfFile(basename(file));
  const name = known ?? 'vassal';
  const naming = known === undefined ? [misnamed(file)] : [];
  const reading = readVassalFile(file);
  switch (reading.kind) {
    case 'content': {
      const { text, sha256, owner } = reading;
      const { wanted, diagnostics } = resolveText(name, { file, text, sha256, owner }, context);
      return { name, wanted, diagnostics: [...naming, ...diagnostics] };
    }
    case 'refused':
      return { name, wanted: undefined, diagnostics: [...naming, ...reading.diagnostics] };
    case 'missing':
      return { name, wanted: undefined, diagnostics: [missing(file)] };
    case 'busy':
      return { name, wanted: undefined, diagnostics: [busy(file)] };
  }
}

function contextOf({ config, readInclude }: CheckSource): ResolveContext {
  const identities = openIdentities(config);
  return {
    emperor: config,
    readInclude,
    env: readEnvironment,
    uidOf: (name) => identities?.find(name),
    ownerOf: (uid) => identities?.ownerOf(uid),
  };
}

/** Who is not root cannot see which vassal owns which uid, and gets an answer without it. */
function openIdentities(config: EmperorConfig): IdentityStore | undefined {
  try {
    return new IdentityStore({ ...config, clock: systemClock });
  } catch (error) {
    if (isErrno(error, 'EACCES')) return undefined;
    throw error;
  }
}

function finding(file: string, rest: Pick<Diagnostic, 'severity' | 'code' | 'message' | 'hint'>) {
  return { file, line: 0, column: 0, ...rest };
}

const misnamed = (file: string): Diagnostic =>
  finding(file, {
    severity: 'warning',
    code: 'file-name',
    message: 'the emperor takes no file of this name for a vassal',
    hint: 'call it NAME.ini, of small letters, digits and ._-',
  });

const missing = (file: string): Diagnostic =>
  finding(file, {
    severity: 'error',
    code: 'file-missing',
    message: 'there is no such file',
    hint: 'name a vassal file, or nothing for all of them',
  });

const busy = (file: string): Diagnostic =>
  finding(file, {
    severity: 'error',
    code: 'file-busy',
    message: 'somebody has the file open for writing',
    hint: 'the emperor waits until it is closed; try again then',
  });
