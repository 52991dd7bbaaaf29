/**
 * emperor.ini: text → what the emperor goes by, and the values it gives to vassals. All findings come at
 * once; values for vassals are tried here already, so that a bad class is refused before a vassal uses it.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Diagnostic } from '../base/errors.ts';
import { Budget } from './budget.ts';
import { forbiddenAt } from './characters.ts';
import { Findings, wholeFile } from './diagnose.ts';
import { type IncludeReader, readDocument } from './document.ts';
import { judgeRouter } from './judge-network.ts';
import type { NatDeny } from './kinds/firewall.ts';
import { type Line, madeLine, valuePlaceOf } from './line.ts';
import { EMPEROR_KEYS, IGNORED_KEYS } from './options/directives.ts';
import { EMPEROR_OPTIONS, type EmperorFields } from './options/emperor.ts';
import { type ResolvedValue, resolveOptions } from './resolve.ts';
import { judgeEmperorFile, type Owner } from './trust.ts';
import { tryDefaults } from './try-defaults.ts';
import { classLines, type Defaults, splitDefaults } from './vassal-defaults.ts';

export type { NamespaceName } from './kinds/lists.ts';

type Plain = Omit<EmperorFields, 'trustedUsers' | 'dns' | 'cgroupParent' | 'natDeny'>;

export interface EmperorConfig extends Plain {
  readonly file: string;
  /** Those found in the distros directory when this was loaded. */
  readonly distros: readonly string[];
  /** Uids whose vassal files may use every key. */
  readonly trustedOwners: readonly number[];
  readonly dns: readonly string[];
  readonly natDeny: readonly NatDeny[];
  readonly cgroupParent: string;
  /** What vassals get from here. */
  readonly defaults: Defaults;
}

export interface EmperorSource {
  readonly file: string;
  readonly text: string;
  readonly owner: Owner;
  /** `--set k=v`; they win over the file. */
  readonly overrides: readonly string[];
  readonly env: (name: string) => string | undefined;
  readonly readInclude: IncludeReader;
  readonly lookupUser: (name: string) => number | undefined;
  readonly lookupGroup: (name: string) => number | undefined;
  readonly listDistros: (directory: string) => readonly string[];
}

export interface LoadedEmperor {
  /** Undefined if there is any error. */
  readonly config: EmperorConfig | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

export function loadEmperorConfig(source: EmperorSource): LoadedEmperor {
  const findings = new Findings(source.file);
  const common = { ...source, findings, budget: new Budget(), name: nameOf(source.file) };
  judgeEmperorFile(source.file, source.owner, findings);
  const document = readDocument({ ...common, trust: 'operator', section: 'emperor' });
  const inFile = splitDefaults(document.lines, findings);
  const inSet = splitDefaults(overrideLines(source, findings), findings);
  const { fields, values } = resolveOptions({
    ...common,
    table: EMPEROR_OPTIONS,
    ignored: IGNORED_KEYS,
    known: EMPEROR_KEYS,
    layers: [
      { kind: 'file', lines: inFile.own },
      { kind: 'set', lines: inSet.own },
    ],
  });
  const defaults = {
    vassalSet: [...inFile.vassalSet, ...inSet.vassalSet],
    classes: classLines(document.classes),
    finals: [...inFile.finals, ...inSet.finals],
  };
  tryDefaults(defaults, common);
  const config = fields && configOf({ source, fields, values, defaults });
  const lines = [...inFile.own, ...inSet.own];
  if (config) judgeConfig(config, lines, findings);
  if (fields) judgeRouter(fields, { file: source.file, lines, findings });
  return {
    config: findings.hasErrors ? undefined : config,
    diagnostics: findings.list(),
  };
}

/** Two emperors must never share it: what the one does not know, it would end. */
function cgroupParentOf(runDirectory: string): string {
  if (runDirectory === EMPEROR_OPTIONS.runDirectory.default) return 'emperor';
  const digest = createHash('sha256').update(runDirectory).digest('hex').slice(0, 12);
  return `emperor-${digest}`;
}

/** What `%n` stands for in emperor.ini itself. */
function nameOf(file: string): string {
  return basename(file, '.ini');
}

function overrideLines({ file, overrides }: EmperorSource, findings: Findings): readonly Line[] {
  return overrides.flatMap((text) => {
    const place = { ...wholeFile('--set'), text };
    const equals = text.indexOf('=');
    if (equals > 0 && forbiddenAt(text) < 0) {
      const [key, value] = [text.slice(0, equals).trim(), text.slice(equals + 1).trim()];
      return [madeLine({ key, value, file, origin: '--set' }, place)];
    }
    findings.error(place, {
      code: 'bad-line',
      message: `Cannot use \`--set ${text}\`: it is no KEY=VALUE`,
      hint: 'write for instance `--set log-level=debug`',
    });
    return [];
  });
}

interface Parts {
  readonly source: EmperorSource;
  readonly fields: EmperorFields;
  readonly values: readonly ResolvedValue[];
  readonly defaults: Omit<Defaults, 'inherited'>;
}

function configOf({ source, fields, values, defaults }: Parts): EmperorConfig {
  const { trustedUsers, ...plain } = fields;
  const { file, owner } = source;
  const distros = source.listDistros(fields.distrosDirectory);
  const only = distros.length === 1 ? (distros[0] ?? null) : null;
  const defaultDistro = fields.defaultDistro ?? only;
  const inherited: readonly ResolvedValue[] = [
    ...(fields.defaultDistro === null && only !== null
      ? [{ key: 'distro', value: only, origin: `the only distro in ${fields.distrosDirectory}` }]
      : []),
    ...values.filter(({ key }) => key === 'distro' || key === 'dns'),
  ];
  return {
    ...plain,
    file,
    distros,
    defaultDistro,
    trustedOwners: [...new Set([0, owner.uid, ...(trustedUsers ?? [])])],
    dns: fields.dns ?? [],
    natDeny: fields.natDeny.flat(),
    cgroupParent: fields.cgroupParent ?? cgroupParentOf(fields.runDirectory),
    defaults: {
      ...defaults,
      inherited: inherited.map((value) =>
        madeLine({ ...value, file, isLiteral: true }, wholeFile(file)),
      ),
    },
  };
}

/** What no key can tell alone. */
function judgeConfig(config: EmperorConfig, lines: readonly Line[], findings: Findings): void {
  const { throttleMs: firstMs, maxThrottleMs: maxMs } = config;
  const placeOf = (key: string) => valuePlaceOf(lines, key, config.file);
  if (firstMs > maxMs) {
    findings.error(placeOf('emperor-max-throttle'), {
      code: 'bad-value',
      message: `Cannot use \`emperor-max-throttle\`: ${maxMs} ms is less than \`emperor-throttle\`, ${firstMs} ms`,
      hint: 'make it at least as long',
    });
  }
  const { defaultDistro, distros, distrosDirectory } = config;
  if (defaultDistro === null || distros.includes(defaultDistro)) return;
  // A warning: vassals that name another distro run, and this one may be under way.
  findings.warning(placeOf('distro'), {
    code: 'unknown-distro',
    message: `There is no distro ${defaultDistro} in ${distrosDirectory}`,
    hint: `make it with \`emperor distro add ${defaultDistro}\``,
  });
}
