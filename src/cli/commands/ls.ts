/** `emperor ls`: all vassals, one a line, with what is wrong in the last column. */
import { systemClock } from '../../base/clock.ts';
import { formatDuration } from '../../base/units.ts';
import type { VassalStatus } from '../../emperor/governor.ts';
import type { Call } from '../call.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, tableStyle } from '../output.ts';
import { reach } from '../reach.ts';
import { stateColour, troubleOf } from '../states.ts';
import { type Column, renderTable, type TableStyle } from '../table.ts';

export async function run({ globals }: Call): Promise<number> {
  const vassals = await (await reach(globals)).list();
  if (globals.json) printJson(vassals);
  else print(renderList(vassals, { nowMs: systemClock.now(), style: tableStyle(globals) }));
  return EXIT.done;
}

/** Pure; `nowMs` is wall clock. */
export function renderList(
  vassals: readonly VassalStatus[],
  { nowMs, style }: { readonly nowMs: number; readonly style?: TableStyle },
): string {
  const columns: readonly Column<VassalStatus>[] = [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'STATE', cell: ({ state }) => ({ text: state, colour: stateColour(state) }) },
    { title: 'PID', cell: ({ pid }) => (pid === null ? '-' : String(pid)), alignRight: true },
    { title: 'UPTIME', cell: (vassal) => uptimeOf(vassal, nowMs), alignRight: true },
    { title: 'RESTARTS', cell: ({ restarts }) => String(restarts), alignRight: true },
    ...(vassals.some(hasAddress) ? [ADDRESS] : []),
    { title: 'DISTRO', cell: ({ distro }) => distro ?? '-' },
    { title: 'TROUBLE', cell: (vassal) => ({ text: troubleOf(vassal, nowMs), colour: 'yellow' }) },
  ];
  return renderTable(vassals, columns, style);
}

const ADDRESS: Column<VassalStatus> = {
  title: 'ADDRESS',
  cell: ({ address, address6 }) => address ?? address6 ?? '-',
};

function hasAddress({ address, address6 }: VassalStatus): boolean {
  return address !== null || address6 !== null;
}

function uptimeOf({ startedAt, pid }: VassalStatus, nowMs: number): string {
  if (startedAt === null || pid === null) return '-';
  return formatDuration(Math.max(0, nowMs - Date.parse(startedAt)));
}
