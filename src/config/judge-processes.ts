/** What no key of a command or daemon can tell alone: how many there are, whose they would be, who says ready. Pure. */
import { type JudgeSource, placeOf, refuse } from './judge.ts';
import type { Daemon } from './kinds/daemons.ts';
import { VASSAL_OPTIONS, type VassalFields } from './options/vassal.ts';

/** A vassal's init has 256 places for processes; cron jobs and sessions want some. */
export const MAX_DAEMONS = 32;

const { command, daemons, tunedDaemons, smartDaemons, ready, watchdogMs } = VASSAL_OPTIONS;

/** All daemons of a vassal, in the order of their starts: by key, then as they stand in the file. */
export function daemonsOf(
  config: Partial<Pick<VassalFields, 'daemons' | 'tunedDaemons' | 'smartDaemons'>>,
): readonly Daemon[] {
  // An older emperor's record may lack them.
  return [
    ...(config.daemons ?? []),
    ...(config.tunedDaemons ?? []),
    ...(config.smartDaemons ?? []),
  ];
}

export function judgeProcesses(fields: VassalFields, source: JudgeSource): void {
  judgeDaemons(fields, source);
  if (fields.command !== null) return;
  if (fields.ready?.how === 'notify' || fields.ready?.how === 'fd') {
    refuse(source, placeOf(source, ready), [
      `Cannot be ready by \`${fields.ready.how}\`: there is no \`${command.name}\` that could say so`,
      'add one, or name a `port:` or `path:` of a daemon',
    ]);
  }
  if (fields.watchdogMs === null) return;
  source.findings.warning(placeOf(source, watchdogMs), {
    code: 'has-no-effect',
    message: `This line changes nothing: there is no \`${command.name}\``,
    hint: 'leave it out; daemons are not listened for',
  });
}

function judgeDaemons(fields: VassalFields, source: JudgeSource): void {
  const count = daemonsOf(fields).length;
  if (count > MAX_DAEMONS) {
    const option = [smartDaemons, tunedDaemons, daemons].find(({ name }) =>
      source.lines.some(({ key }) => key === name),
    );
    refuse(source, placeOf(source, option ?? daemons), [
      `Cannot attach ${count} daemons: a vassal has ${MAX_DAEMONS} at most`,
      'let one program start the others',
    ]);
  }
  const names = new Set<string>();
  for (const [index, daemon] of fields.tunedDaemons.entries()) {
    judgeOne(daemon, index, { fields, source, names });
  }
}

interface Judgement {
  readonly fields: VassalFields;
  readonly source: JudgeSource;
  readonly names: Set<string>;
}

function judgeOne(daemon: Daemon, index: number, { fields, source, names }: Judgement): void {
  const place = placeOf(source, tunedDaemons, index);
  const { name, uid, gid, freqMs, pidFile, touch } = daemon;
  if (name !== null && names.has(name)) {
    refuse(source, place, [
      `Cannot have two daemons called \`${name}\``,
      'give each a name of its own',
    ]);
  }
  if (name !== null) names.add(name);
  for (const [key, asked, own] of [
    ['uid', uid, fields.uid],
    ['gid', gid, fields.gid ?? fields.uid],
  ] as const) {
    if (asked === null || asked === own) continue;
    const message = `Cannot run a daemon with ${key} ${asked}: it runs as the vassal's own user`;
    const hint = `leave \`${key}=\` out, or give the service a vassal of its own`;
    refuse(source, place, [message, hint]);
  }
  if (freqMs === null || pidFile !== null || touch.length > 0) return;
  source.findings.warning(place, {
    code: 'has-no-effect',
    message: '`freq` changes nothing here: there is neither `pidfile` nor `touch`',
    hint: 'leave it out; a daemon that ends is started again at once, then more and more slowly',
  });
}
