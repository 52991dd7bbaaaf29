/** `emperor distro ls, add, rm, verify`: without a daemon; one that can be reached says who uses what. */
import { join, resolve } from 'node:path';
import { EMPEROR_OPTIONS } from '../../config/options/emperor.ts';
import { addDistro, type DistroTool } from '../../distro/build.ts';
import type { DistroReport } from '../../distro/inspect.ts';
import { type ListedDistro, listDistros, removeDistro, verifyDistro } from '../../distro/keep.ts';
import { type Call, type Globals, onlyWord, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, say, tableStyle } from '../output.ts';
import { printable } from '../printable.ts';
import { ifReachable } from '../reach.ts';
import { iniFileOf, loadSettings } from '../settings.ts';
import { renderTable, type TableStyle } from '../table.ts';

export async function run(call: Call): Promise<number> {
  const directory = await distrosDirectoryOf(call.globals);
  switch (call.verb) {
    case 'ls':
      return list(directory, call);
    case 'add':
      return add(directory, call);
    case 'rm':
      return remove(directory, call);
    default:
      return verify(directory, call);
  }
}

async function distrosDirectoryOf(globals: Globals): Promise<string> {
  const iniFile =
    iniFileOf(globals.ini) ?? (await ifReachable(globals, (client) => client.stats()))?.ini;
  if (iniFile === undefined) return EMPEROR_OPTIONS.distrosDirectory.default;
  return loadSettings(iniFile).config.distrosDirectory;
}

/** path of a distro → vassals that use it; undefined where no emperor runs. */
async function usersByPath(
  globals: Globals,
): Promise<ReadonlyMap<string, readonly string[]> | undefined> {
  const distros = await ifReachable(globals, (client) => client.distros());
  return distros && new Map(distros.map(({ path, usedBy }) => [resolve(path), usedBy]));
}

interface ShownDistro {
  readonly name: string;
  readonly path: string;
  readonly prettyName: string | null;
  readonly isUsable: boolean;
  /** Null where no emperor runs. */
  readonly usedBy: readonly string[] | null;
  readonly problems: readonly string[];
}

async function list(directory: string, { globals }: Call): Promise<number> {
  const users = await usersByPath(globals);
  const shown = listDistros(directory).map((distro): ShownDistro => {
    const { name, path, osRelease, isUsable, problems } = distro;
    return {
      name,
      path,
      prettyName: osRelease?.prettyName ?? null,
      isUsable,
      usedBy: users ? (users.get(resolve(path)) ?? []) : null,
      problems: problems.map(({ message }) => message),
    };
  });
  if (globals.json) printJson(shown);
  else print(renderDistros(shown, tableStyle(globals)));
  return EXIT.done;
}

/** Pure. */
export function renderDistros(distros: readonly ShownDistro[], style?: TableStyle): string {
  const columns = [
    { title: 'NAME', cell: ({ name }: ShownDistro) => name },
    { title: 'SYSTEM', cell: ({ prettyName }: ShownDistro) => prettyName ?? '-' },
    {
      title: 'VASSALS',
      cell: ({ usedBy }: ShownDistro) => (usedBy === null ? '-' : String(usedBy.length)),
      alignRight: true as const,
    },
    {
      title: 'TROUBLE',
      cell: ({ isUsable, problems }: ShownDistro) => (isUsable ? '' : problems.join('; ')),
    },
  ];
  return renderTable(distros, columns, style);
}

async function add(directory: string, call: Call): Promise<number> {
  const { options, globals } = call;
  const suite = options.text('suite');
  const packages = options.text('include')?.split(',').filter(Boolean);
  const tool = parseTool(options.text('tool'));
  const report = await addDistro({
    directory,
    name: onlyWord(call),
    ...(suite === undefined ? {} : { suite }),
    ...(packages === undefined ? {} : { packages }),
    ...(tool === undefined ? {} : { tool }),
    onProgress: (line) => say(printable(line)),
  });
  if (globals.json) printJson(report);
  else print(`${join(directory, onlyWord(call))}\n`);
  return EXIT.done;
}

function parseTool(text: string | undefined): DistroTool | undefined {
  if (text === undefined || text === 'mmdebstrap' || text === 'debootstrap') return text;
  throw usageError(`Cannot build with ${JSON.stringify(text)}: use mmdebstrap or debootstrap`);
}

async function remove(directory: string, call: Call): Promise<number> {
  const name = onlyWord(call);
  const users = await usersByPath(call.globals);
  await removeDistro({ directory, name, usedBy: users?.get(resolve(directory, name)) ?? [] });
  return EXIT.done;
}

function verify(directory: string, call: Call): number {
  const distro = verifyDistro(directory, onlyWord(call));
  if (call.globals.json) printJson(distro);
  else print(renderReport(distro));
  return distro.isUsable ? EXIT.done : EXIT.no;
}

/** Pure. */
export function renderReport(distro: ListedDistro): string {
  const problems = distro.problems.flatMap(({ severity, message, fix }) => [
    `${severity}: ${message}`,
    `  fix: ${fix}`,
  ]);
  const lines = [...problems, ...setuidLine(distro), verdictOf(distro)];
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function setuidLine({ setuidFiles }: DistroReport): readonly string[] {
  if (setuidFiles.length === 0) return [];
  return [`setuid or setgid, without effect in vassals: ${setuidFiles.join(' ')}`];
}

function verdictOf({ name, osRelease, isUsable }: ListedDistro): string {
  const system = osRelease?.prettyName ?? 'no os-release';
  return `${name} (${system}): ${isUsable ? 'usable' : 'not usable'}`;
}
