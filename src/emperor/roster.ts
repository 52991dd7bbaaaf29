/**
 * What each vassal should be: its file as last seen, resolved against emperor.ini, and the last good
 * configuration where the file is no good. Values only; nothing here starts or stops anything.
 */
import type { Diagnostic } from '../base/errors.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import { judgeTrust } from '../config/trust.ts';
import { type ResolvedValue, resolveVassal, type VassalConfig } from '../config/vassal-config.ts';
import type { Wanted } from '../vassal/vassal.ts';
import type { Desired } from './plan.ts';
import type { AppliedRecord } from './records.ts';
import type { FileOwner, Sighting } from './sighting.ts';

export interface FileText {
  readonly file: string;
  readonly text: string;
  readonly sha256: string;
  readonly owner: FileOwner;
}

export interface Entry {
  readonly name: string;
  readonly file: string;
  /** The file as it is on disk; null where it could not be read. */
  readonly onDisk: FileText | null;
  readonly desired: Desired;
  readonly diagnostics: readonly Diagnostic[];
  /** The text that `desired` came from, where there is something to run. */
  readonly source: FileText | null;
}

export interface ResolveContext {
  readonly emperor: EmperorConfig;
  readonly readInclude: (path: string) => { readonly text: string } | { readonly error: string };
  readonly env: (name: string) => string | undefined;
  /** Uid that `name` already owns, if any. */
  readonly uidOf: (name: string) => number | undefined;
  /** Which other vassal owns `uid`, if any. */
  readonly ownerOf: (uid: number) => string | undefined;
}

interface Resolution {
  readonly wanted: Wanted | undefined;
  readonly diagnostics: readonly Diagnostic[];
  readonly values: readonly ResolvedValue[];
}

/** Turns a sighting into an entry; `lastGood` is what runs, or would, where the file is no good. */
export function entryOf(
  sighting: Exclude<Sighting, { kind: 'gone' }>,
  lastGood: FileText | null,
  context: ResolveContext,
): Entry {
  const { name, file } = sighting;
  if (sighting.kind === 'refused') {
    return invalidEntry(
      { name, file, onDisk: null, diagnostics: sighting.diagnostics },
      lastGood,
      context,
    );
  }
  const onDisk: FileText = {
    file,
    text: sighting.text,
    sha256: sighting.sha256,
    owner: sighting.owner,
  };
  const { wanted, diagnostics } = resolveText(name, onDisk, context);
  if (!wanted) return invalidEntry({ name, file, onDisk, diagnostics }, lastGood, context);
  return {
    name,
    file,
    onDisk,
    desired: { kind: 'valid', wanted },
    diagnostics,
    source: onDisk,
  };
}

function invalidEntry(
  found: Pick<Entry, 'name' | 'file' | 'onDisk' | 'diagnostics'>,
  lastGood: FileText | null,
  context: ResolveContext,
): Entry {
  const good = lastGood ? resolveText(found.name, lastGood, context) : undefined;
  return {
    ...found,
    desired: { kind: 'invalid', diagnostics: found.diagnostics, fallback: good?.wanted },
    source: lastGood,
  };
}

/** The text that an earlier emperor wrote down. */
export function fileTextOf(record: AppliedRecord): FileText {
  return {
    file: record.file,
    text: record.text,
    sha256: record.applied.sha256,
    owner: record.owner,
  };
}

/** Judges the owner, resolves the text and checks what only the whole roster can tell. */
export function resolveText(name: string, file: FileText, context: ResolveContext): Resolution {
  const trust = judgeTrust({
    file: file.file,
    owner: file.owner,
    vassalUid: context.uidOf(name),
    trustedOwners: context.emperor.trustedOwners,
  });
  if (trust.kind === 'refused') {
    return { wanted: undefined, diagnostics: [trust.diagnostic], values: [] };
  }
  const resolved = resolveVassal({
    name,
    file: file.file,
    text: file.text,
    trust: trust.kind,
    ...(trust.kind === 'tenant' ? { tenant: { uid: trust.uid, gid: trust.gid } } : {}),
    emperor: context.emperor,
    env: context.env,
    readInclude: context.readInclude,
  });
  const diagnostics = [
    ...resolved.diagnostics,
    ...clashes(name, file.file, resolved.vassal, context),
  ];
  const isValid = !diagnostics.some(({ severity }) => severity === 'error');
  const wanted =
    isValid && resolved.vassal
      ? { config: resolved.vassal, hash: resolved.hash, sha256: file.sha256 }
      : undefined;
  return { wanted, diagnostics, values: resolved.values };
}

function clashes(
  name: string,
  file: string,
  vassal: VassalConfig | undefined,
  context: ResolveContext,
): readonly Diagnostic[] {
  if (vassal?.uid === null || vassal?.uid === undefined) return [];
  const other = context.ownerOf(vassal.uid);
  if (other === undefined || other === name) return [];
  return [
    {
      file,
      line: 0,
      column: 0,
      severity: 'error',
      code: 'uid-taken',
      message: `uid ${vassal.uid} belongs to vassal ${other}`,
      hint: 'give each vassal a uid of its own, or leave `uid` out',
    },
  ];
}
