/**
 * Notices when the init of an attached vassal ends, with or without an emperor: a tun that is held pins the network
 * namespace of the dead. One process descriptor for each vassal.
 */
import { closeSync } from 'node:fs';
import type { Poller } from '../linux/poller.ts';

export class InitWatch {
  readonly #poller: Poller;
  readonly #onEnd: (name: string) => void;
  readonly #stops = new Map<string, () => void>();

  /** `onEnd` is called once for each vassal whose init ends while it is watched. */
  constructor(poller: Poller, onEnd: (name: string) => void) {
    this.#poller = poller;
    this.#onEnd = onEnd;
  }

  /** Watches the init behind a process descriptor, which is its own from now on, in place of an earlier one. */
  watch(name: string, pidfd: number): void {
    this.forget(name);
    const cancel = this.#poller.watch(pidfd, 'readable', () => {
      this.forget(name);
      this.#onEnd(name);
    });
    this.#stops.set(name, () => {
      cancel();
      closeSync(pidfd);
    });
  }

  forget(name: string): void {
    this.#stops.get(name)?.();
    this.#stops.delete(name);
  }

  close(): void {
    for (const name of [...this.#stops.keys()]) this.forget(name);
  }
}
