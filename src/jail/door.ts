/** The door of a vassal: a listening socket that its init takes over, for sessions of one user of the host. */
import { askForDescriptor, type Patience, refusedRequest } from './ask-for-descriptor.ts';
import { Refusal } from './connection.ts';
import type { Field } from './frames.ts';
import { TAG, VERB } from './wire.ts';

export interface Door {
  /** Who may come in: a uid of the host, never 0. */
  readonly uid: number;
  /** How a session begins: in `cwd` (in / where that cannot be), with `shell -l` or `shell -c COMMAND`. */
  readonly cwd: string;
  readonly env: readonly string[];
  readonly shell: string;
}

/**
 * Has the init at `path` serve `door` on the listening socket `fd`, which stays open here; null: nobody comes in any
 * more. Sessions go on, unless they are of another uid. Throws an EmperorError: `not-reachable`, `timeout`, `system-call`.
 */
export async function setDoor(
  path: string,
  opened: { readonly door: Door; readonly fd: number } | null,
  patience: Patience,
): Promise<void> {
  const what = `${opened ? 'open' : 'close'} the door of the init at ${path}`;
  const fields = opened ? doorFields(opened.door) : [];
  const send = opened ? [opened.fd] : [];
  try {
    await askForDescriptor({ path, what, verb: VERB.DOOR, fields, send, expected: 0 }, patience);
  } catch (error) {
    throw error instanceof Refusal ? refusedRequest(what, error) : error;
  }
}

function doorFields({ uid, cwd, env, shell }: Door): readonly Field[] {
  return [
    [TAG.UID, uid],
    [TAG.CWD, cwd],
    ...env.map((pair): Field => [TAG.ENV, pair]),
    [TAG.ARG, shell],
  ];
}
