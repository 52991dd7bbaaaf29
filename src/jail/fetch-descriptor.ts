/** The tun of a vassal, fetched from its init: at its gate, and again whenever a router begins anew. */
import { closeSync } from 'node:fs';
import { EmperorError, messageOf } from '../base/errors.ts';
import { ErrnoError } from '../linux/errno.ts';
import { peerCredentials } from '../linux/peercred.ts';
import { openPidfd } from '../linux/pidfd.ts';
import { hasVnetHeader, tunName } from '../linux/tun.ts';
import { askForDescriptor, type Patience, refusedRequest } from './ask-for-descriptor.ts';
import { Refusal } from './connection.ts';
import { VERB } from './wire.ts';

export interface FetchedTun {
  /** Belongs to the caller. It pins the vassal's network namespace until it is closed. */
  readonly fd: number;
  /** Name inside, as the kernel has it. */
  readonly interface: string;
  /** Process descriptor of the init that it came from; belongs to the caller. */
  readonly init: number;
}

/**
 * Fetches the tun from the init that listens at `path`. It is a tun with the header that the router needs, whatever
 * init says. Throws an EmperorError: `not-reachable`, `timeout`, or `system-call` where there is none or something else.
 */
export async function fetchTun(path: string, patience: Patience): Promise<FetchedTun> {
  const what = `fetch the tun of the init at ${path}`;
  let init = -1;
  const request = {
    ...({ path, what, verb: VERB.FETCH, fields: [], send: [], expected: 1 } as const),
    // Init answers after this, so it lives now, and the number is not that of a successor.
    onConnect: (socket: number) => {
      init = openPidfd(peerCredentials(socket).pid);
    },
  };
  try {
    const { fds } = await askForDescriptor(request, patience);
    // As many as were expected.
    const [fd = -1] = fds;
    return { fd, interface: checkedName(fd, what), init };
  } catch (error) {
    if (init >= 0) closeSync(init);
    throw error instanceof Refusal ? refusedRequest(what, error) : error;
  }
}

function checkedName(fd: number, what: string): string {
  try {
    if (hasVnetHeader(fd)) return tunName(fd);
    throw new EmperorError('system-call', `Cannot ${what}: what it sent is a tun of another kind`);
  } catch (error) {
    closeSync(fd);
    if (!(error instanceof ErrnoError)) throw error;
    const message = `Cannot ${what}: what it sent is no tun, ${messageOf(error)}`;
    throw new EmperorError('system-call', message, { cause: error });
  }
}
