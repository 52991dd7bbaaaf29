/** The lifecycle table as docs/architecture.md shows it, drawn from the table itself. Pure. */
import { LIFECYCLE, LIFECYCLE_EVENTS, type LifecycleEvent, type Transition } from './lifecycle.ts';
import { VASSAL_STATES, type VassalState } from './state.ts';

interface Arrow extends Transition {
  readonly from: VassalState;
  readonly event: LifecycleEvent;
}

/** Every pair that the table names, by state, then in the order of the events. */
function arrows(): readonly Arrow[] {
  return VASSAL_STATES.flatMap((from) =>
    LIFECYCLE_EVENTS.flatMap((event) => {
      const transition = LIFECYCLE[from][event];
      return transition ? [{ from, event, ...transition }] : [];
    }),
  );
}

/** Returns a Markdown table, one row for each pair. */
export function renderLifecycle(): string {
  const rows = arrows().map(({ from, event, to, actions }, index, all) => {
    const state = all[index - 1]?.from === from ? '' : `**${from}**`;
    return `| ${state} | ${event} | ${to} | ${actions.join(', ')} |`;
  });
  return ['| in | event | goes to | does |', '|---|---|---|---|', ...rows, ''].join('\n');
}
