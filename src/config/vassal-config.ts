/**
 * A vassal file: text → what the vassal is to be, or why not, and where each value comes from. Precedence:
 * the file, its class, `vassal-set`, built-in defaults; what the operator wrote `final` wins over all.
 */
import { createHash } from 'node:crypto';
import type { Diagnostic } from '../base/errors.ts';
import { Budget } from './budget.ts';
import { Findings, type Place, wholeFile } from './diagnose.ts';
import { type IncludeReader, readDocument } from './document.ts';
import type { EmperorConfig } from './emperor-config.ts';
import { type Line, madeLine, type Trust } from './line.ts';
import { didYouMean } from './nearest.ts';
import { IGNORED_KEYS, VASSAL_KEYS } from './options/directives.ts';
import { VASSAL_OPTIONS, type VassalFields } from './options/vassal.ts';
import { type Layer, type Resolved, type ResolvedValue, resolveOptions } from './resolve.ts';

export type { ResolvedValue } from './resolve.ts';

/** Plain JSON: it is stored with what runs, and compared with what should. */
export interface VassalConfig extends Omit<VassalFields, 'distro'> {
  readonly name: string;
  readonly distro: string;
  /** The emperor's: what all vassals see as /opt. */
  readonly opt: string | null;
}

export interface VassalSource {
  readonly name: string;
  readonly file: string;
  readonly text: string;
  readonly trust: Trust;
  /** Whose file it is, where `trust` is `tenant`; uid and gid are then these. */
  readonly tenant?: { readonly uid: number; readonly gid: number };
  readonly emperor: EmperorConfig;
  readonly env: (name: string) => string | undefined;
  readonly readInclude: IncludeReader;
}

export interface ResolvedVassal {
  /** Undefined if there is any error. */
  readonly vassal: VassalConfig | undefined;
  /** SHA-256, in hex, of the whole resolved configuration; empty if there is none. */
  readonly hash: string;
  readonly diagnostics: readonly Diagnostic[];
  readonly values: readonly ResolvedValue[];
}

export function resolveVassal(source: VassalSource): ResolvedVassal {
  const findings = new Findings();
  const budget = new Budget();
  const { lines } = readDocument({ ...source, section: 'vassal', findings, budget });
  const resolved = resolveOptions({
    ...source,
    table: VASSAL_OPTIONS,
    ignored: IGNORED_KEYS,
    known: VASSAL_KEYS,
    layers: layersOf(source, lines, findings),
    lookupUser: () => undefined,
    lookupGroup: () => undefined,
    findings,
    budget,
  });
  const vassal = vassalOf(source, resolved, lines, findings);
  return {
    vassal,
    hash: vassal ? hashOf(vassal) : '',
    diagnostics: findings.list().filter((diagnostic) => isNews(diagnostic, source)),
    values: resolved.values,
  };
}

/** Warnings about emperor.ini were told when it was loaded. */
function isNews({ severity, file }: Diagnostic, { emperor }: VassalSource): boolean {
  return severity === 'error' || file !== emperor.file;
}

// ── layers ─────────────────────────────────────────────────────────────────────────────────────

function layersOf(
  source: VassalSource,
  lines: readonly Line[],
  findings: Findings,
): readonly Layer[] {
  const { defaults } = source.emperor;
  return [
    { kind: 'emperor', lines: defaults.inherited },
    { kind: 'vassal-set', lines: defaults.vassalSet },
    { kind: 'class', lines: classOf(source, lines, findings) },
    { kind: 'file', lines },
    { kind: 'final', lines: [...defaults.finals, ...ownerLines(source)] },
  ];
}

/** The lines of the class that the vassal belongs to. */
function classOf(
  { emperor, trust }: VassalSource,
  lines: readonly Line[],
  findings: Findings,
): readonly Line[] {
  const { finals, vassalSet, classes } = emperor.defaults;
  const own = trust === 'operator' ? lines : [];
  const chosen = [finals, own, vassalSet]
    .map((layer) => layer.find(({ key }) => key === VASSAL_OPTIONS.className.name))
    .find((line) => line !== undefined);
  if (!chosen) return [];
  const found = Object.hasOwn(classes, chosen.value) ? classes[chosen.value] : undefined;
  if (found) return found;
  const names = Object.keys(classes);
  const all = names.length === 0 ? 'it declares none' : `it has ${names.join(', ')}`;
  findings.error(chosen.valuePlace, {
    code: 'unknown-class',
    message: `There is no class \`${chosen.value}\` in emperor.ini: ${all}`,
    hint: didYouMean(chosen.value, names) ?? `declare it there as \`[class ${chosen.value}]\``,
  });
  return [];
}

/** A tenant's own file runs as the tenant, whatever else is said. */
function ownerLines({ file, tenant }: VassalSource): readonly Line[] {
  if (!tenant) return [];
  const line = (key: string, id: number) =>
    madeLine({ key, value: String(id), file, origin: `owner of ${file}` }, wholeFile(file));
  return [line(VASSAL_OPTIONS.uid.name, tenant.uid), line(VASSAL_OPTIONS.gid.name, tenant.gid)];
}

// ── the result ─────────────────────────────────────────────────────────────────────────────────

function vassalOf(
  { name, file, emperor }: VassalSource,
  { fields }: Resolved<typeof VASSAL_OPTIONS>,
  lines: readonly Line[],
  findings: Findings,
): VassalConfig | undefined {
  if (!fields) return undefined;
  const line = lines.findLast(({ key }) => key === VASSAL_OPTIONS.distro.name);
  const distro = distroOf(fields.distro, emperor, line?.valuePlace ?? wholeFile(file), findings);
  return distro === undefined ? undefined : { name, ...fields, distro, opt: emperor.optDirectory };
}

function distroOf(
  name: string | null,
  { distros, distrosDirectory }: EmperorConfig,
  place: Place,
  findings: Findings,
): string | undefined {
  if (name !== null && distros.includes(name)) return name;
  const all = distros.length === 0 ? 'it is empty' : `it has ${distros.join(', ')}`;
  if (name === null) {
    findings.error(place, {
      code: 'no-distro',
      message: `The vassal names no distro, and emperor.ini has no default; in ${distrosDirectory}, ${all}`,
      hint: 'add a line `distro = NAME` here or in emperor.ini',
    });
  } else {
    findings.error(place, {
      code: 'unknown-distro',
      message: `There is no distro \`${name}\` in ${distrosDirectory}: ${all}`,
      hint: didYouMean(name, distros) ?? `make it with \`emperor distro add ${name}\``,
    });
  }
  return undefined;
}

/** The fields stand in the order of the table, so that equal configurations have equal texts. */
function hashOf(vassal: VassalConfig): string {
  const sorted = Object.entries(vassal).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}
