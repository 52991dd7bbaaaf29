/**
 * A vassal file: text → what the vassal is to be, or why not, and where each value comes from. Precedence:
 * the file, its class, `vassal-set`, built-in defaults; what the operator wrote `final` wins over all.
 */
import { createHash } from 'node:crypto';
import type { Diagnostic } from '../base/errors.ts';
import { didYouMean } from '../base/nearest.ts';
import { Budget } from './budget.ts';
import { Findings, wholeFile } from './diagnose.ts';
import { type IncludeReader, readDocument } from './document.ts';
import type { EmperorConfig } from './emperor-config.ts';
import { judgeVassalNetwork } from './judge-network.ts';
import { judgeProcesses } from './judge-processes.ts';
import { type Line, madeLine, type Trust, valuePlaceOf } from './line.ts';
import { IGNORED_KEYS, VASSAL_KEYS } from './options/directives.ts';
import { VASSAL_OPTIONS, type VassalFields } from './options/vassal.ts';
import { type ResolvedValue, resolveOptions } from './resolve.ts';
import type { Layer } from './sort-lines.ts';
import type { Expansion } from './template.ts';

export type { ResolvedValue } from './resolve.ts';

/** Plain JSON: it is stored with what runs, and compared with what should. */
export interface VassalConfig extends Omit<VassalFields, 'distro'> {
  readonly name: string;
  readonly distro: string;
  /** The emperor's: what all vassals see as /opt. */
  readonly opt: string | null;
}

const CLASS = VASSAL_OPTIONS.className.name;
const DISTRO = VASSAL_OPTIONS.distro.name;
/** No key of a vassal names a user of the host. */
const NO_ACCOUNTS = { lookupUser: () => undefined, lookupGroup: () => undefined };

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
  const work = { findings: new Findings(source.file), budget: new Budget() };
  const { lines } = readDocument({ ...source, ...work, section: 'vassal' });
  const layers = layersOf(source, lines, work);
  const resolved = resolveOptions({
    ...source,
    ...work,
    ...NO_ACCOUNTS,
    table: VASSAL_OPTIONS,
    ignored: IGNORED_KEYS,
    known: VASSAL_KEYS,
    layers,
  });
  const distro = distroOf(source, resolved.values, work.findings, lines);
  const { fields } = resolved;
  if (fields) {
    const all = layers.flatMap((layer) => layer.lines);
    const judged = { ...work, file: source.file, lines: all };
    judgeVassalNetwork(fields, source.emperor, judged);
    judgeProcesses(fields, judged);
  }
  const vassal =
    fields && distro !== undefined && !work.findings.hasErrors
      ? { name: source.name, ...fields, distro, opt: source.emperor.optDirectory }
      : undefined;
  return {
    vassal,
    hash: vassal ? hashOf(vassal) : '',
    diagnostics: work.findings.list().filter((diagnostic) => isNews(diagnostic, source)),
    values: resolved.values,
  };
}

/** Warnings about emperor.ini were told when it was loaded. */
function isNews({ severity, file }: Diagnostic, { emperor }: VassalSource): boolean {
  return severity === 'error' || file !== emperor.file;
}

// ── layers ─────────────────────────────────────────────────────────────────────────────────────

function layersOf(source: VassalSource, lines: readonly Line[], work: Expansion): readonly Layer[] {
  const { defaults } = source.emperor;
  return [
    { kind: 'emperor', lines: defaults.inherited },
    { kind: 'vassal-set', lines: defaults.vassalSet },
    { kind: 'class', lines: classOf(source, lines, work) },
    { kind: 'file', lines },
    { kind: 'final', lines: [...defaults.finals, ...ownerLines(source)] },
  ];
}

/** The lines of the class that the vassal belongs to. */
function classOf(source: VassalSource, lines: readonly Line[], work: Expansion): readonly Line[] {
  const { vassalSet, finals, classes } = source.emperor.defaults;
  const name = classNameOf(source, [vassalSet, lines, finals], work);
  if (name === null) return [];
  const found = Object.hasOwn(classes, name) ? classes[name] : undefined;
  if (found) return found;
  const names = Object.keys(classes);
  const all = names.length === 0 ? 'it declares none' : `it has ${names.join(', ')}`;
  work.findings.error(valuePlaceOf([...vassalSet, ...lines, ...finals], CLASS, source.file), {
    code: 'unknown-class',
    message: `There is no class \`${name}\` in emperor.ini: ${all}`,
    hint: didYouMean(name, names) ?? `declare it there as \`[class ${name}]\``,
  });
  return [];
}

/** The class decides which lines there are, so it is resolved by itself first. */
function classNameOf(
  source: VassalSource,
  layers: readonly (readonly Line[])[],
  work: Expansion,
): string | null {
  const { values } = resolveOptions({
    ...source,
    ...work,
    ...NO_ACCOUNTS,
    table: { className: VASSAL_OPTIONS.className },
    ignored: [],
    known: [],
    layers: layers.map((lines) => ({
      kind: 'vassal-set',
      lines: lines.filter(({ key }) => key === CLASS),
    })),
  });
  return values[0]?.value ?? null;
}

/** A tenant's own file runs as the tenant, whatever else is said. */
function ownerLines({ file, tenant }: VassalSource): readonly Line[] {
  if (!tenant) return [];
  const line = (key: string, id: number) =>
    madeLine({ key, value: String(id), file, origin: `owner of ${file}` }, wholeFile(file));
  return [line(VASSAL_OPTIONS.uid.name, tenant.uid), line(VASSAL_OPTIONS.gid.name, tenant.gid)];
}

// ── the result ─────────────────────────────────────────────────────────────────────────────────

function distroOf(
  { file, emperor: { distros, distrosDirectory } }: VassalSource,
  values: readonly ResolvedValue[],
  findings: Findings,
  lines: readonly Line[],
): string | undefined {
  const name = values.find(({ key }) => key === DISTRO)?.value;
  const place = valuePlaceOf(lines, DISTRO, file);
  const all = distros.length === 0 ? 'it is empty' : `it has ${distros.join(', ')}`;
  if (name !== undefined && distros.includes(name)) return name;
  if (name !== undefined) {
    findings.error(place, {
      code: 'unknown-distro',
      message: `There is no distro \`${name}\` in ${distrosDirectory}: ${all}`,
      hint: didYouMean(name, distros) ?? `make it with \`emperor distro add ${name}\``,
    });
  } else if (!lines.some(({ key }) => key === DISTRO)) {
    findings.error(place, {
      code: 'no-distro',
      message: `The vassal names no distro, and emperor.ini has no default; in ${distrosDirectory}, ${all}`,
      hint: 'add a line `distro = NAME` here or in emperor.ini',
    });
  }
  return undefined;
}

/** Keys are sorted, so that equal configurations have equal texts. */
function hashOf(vassal: VassalConfig): string {
  const sorted = Object.entries(vassal).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}
