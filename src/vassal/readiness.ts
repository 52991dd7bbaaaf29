/**
 * Whether what runs in a vassal is ready, once told or found so, until its command is started anew. Who says it by
 * itself (`notify`, `fd`) is listened to by init; a port or a path is looked for, ever more slowly.
 */
import type { Clock } from '../base/clock.ts';
import type { Ready } from '../config/kinds/ready.ts';

const FIRST_LOOK_MS = 25;
const LAST_LOOK_MS = 1000;

export class Readiness {
  readonly #clock: Clock;
  readonly #onReady: () => void;
  #isReady = false;
  /** Counts what is waited for; a look that comes back late finds another number. */
  #turn = 0;
  #cancelLook: () => void = () => {};

  constructor(clock: Clock, onReady: () => void) {
    this.#clock = clock;
    this.#onReady = onReady;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** A command is about to start: `when` null, it is ready by that. `look` finds a port or path. */
  begin(when: Ready | null, look: (when: Ready) => Promise<boolean>): void {
    this.reset();
    if (when === null) this.#isReady = true;
    else if (when.how === 'port' || when.how === 'path') {
      this.#lookAgain(() => look(when), FIRST_LOOK_MS);
    }
  }

  #lookAgain(look: () => Promise<boolean>, waitMs: number): void {
    const turn = this.#turn;
    this.#cancelLook = this.#clock.after(waitMs, async () => {
      // Who cannot be asked now is asked later.
      const isThere = await look().catch(() => false);
      if (turn !== this.#turn) return;
      if (isThere) this.note();
      else this.#lookAgain(look, Math.min(LAST_LOOK_MS, waitMs * 1.5));
    });
  }

  /** It is ready. */
  note(): void {
    if (this.#isReady) return;
    this.reset();
    this.#isReady = true;
    this.#onReady();
  }

  /** Nothing runs that could be ready. */
  reset(): void {
    this.#turn += 1;
    this.#isReady = false;
    this.#cancelLook();
  }
}
