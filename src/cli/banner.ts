/** What a newcomer reads when the emperor is ready: three commands to try. Pure. */
import { relative } from 'node:path';
import { EMPEROR_OPTIONS } from '../config/options/emperor.ts';
import type { VassalStatus } from '../emperor/governor.ts';
import type { Globals } from './call.ts';
import { socketIn } from './reach.ts';

export interface BannerSource {
  /** How we were called. */
  readonly program: string;
  readonly globals: Globals;
  readonly runDirectory: string;
  /** The run-dir was given by --set, so that emperor.ini does not tell it. */
  readonly isRunDirectorySet: boolean;
  /** emperor.ini. */
  readonly file: string;
  readonly vassals: readonly Pick<VassalStatus, 'name' | 'state' | 'failures'>[];
  readonly workingDirectory?: string;
}

export function renderBanner(source: BannerSource): string {
  const program = shortest(source.program, source.workingDirectory);
  const command = `${program}${whereabouts(source)}`;
  const name = bestOf(source.vassals)?.name;
  const tries =
    name === undefined
      ? ['check', 'distro ls', 'doctor']
      : ['ls', `logs ${name} -f`, `exec ${name} -- ps -ef`];
  return [
    '',
    `The emperor governs ${count(source.vassals.length)}. In another terminal, try:`,
    ...tries.map((words) => `  ${command} ${words}`),
    'Ctrl-C stops everything.',
    '',
  ].join('\n');
}

/** What another terminal must say to reach us. */
function whereabouts({ runDirectory, isRunDirectorySet, globals, file }: BannerSource): string {
  if (runDirectory === EMPEROR_OPTIONS.runDirectory.default) return '';
  return isRunDirectorySet
    ? ` --socket ${socketIn(runDirectory)}`
    : ` --ini ${globals.ini ?? file}`;
}

/** One that runs and has never failed, so that there is something to see. */
function bestOf(vassals: BannerSource['vassals']): BannerSource['vassals'][number] | undefined {
  const sound = vassals.filter(({ failures }) => failures === 0);
  return sound.find(({ state }) => state === 'running') ?? sound[0] ?? vassals[0];
}

function count(vassals: number): string {
  if (vassals === 0) return 'no vassals yet';
  return vassals === 1 ? '1 vassal' : `${vassals} vassals`;
}

/** `./bin/emperor` reads better than a long absolute path. */
function shortest(program: string, workingDirectory = process.cwd()): string {
  const inside = relative(workingDirectory, program);
  return inside.startsWith('..') || inside === '' ? program : `./${inside}`;
}
