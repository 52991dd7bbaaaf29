/**
 * Hooks that run inside a vassal as its tenant, once it is ready (exec-post-app): shell lines, one after the other,
 * each with a time limit, their output in the vassal's log. init hangs up what runs when the emperor goes.
 */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { InitClient, SlotExit } from '../jail/init-client.ts';
import type { CommandLine } from './command-process.ts';
import { exitOf, exitText } from './exit.ts';

const KIND = 'exec';
const LABEL = 'hook';
const SIGKILL = 9;
/** What the slots of hooks begin with. */
const MARK = 0xda40n;

export interface InnerHookOptions {
  readonly init: InitClient;
  /** Where they run, and with which environment. */
  readonly place: Pick<CommandLine, 'cwd' | 'env'>;
  /** For each line. */
  readonly timeoutMs: number;
}

export class InnerHooks {
  readonly #clock: Clock;
  readonly #random: () => number;
  #slot: bigint | null = null;
  #onEnd: (how: SlotExit | null) => void = () => {};
  #kill: () => void = () => {};

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Returns why one of the lines failed, after which no other was run; null if none did, or their vassal ended. */
  async run(lines: readonly string[], options: InnerHookOptions): Promise<string | null> {
    for (const line of lines) {
      const failure = await this.#runOne(line, options);
      if (failure === 'lost') return null;
      if (failure !== null) return `exec-post-app \`${line}\` failed: ${failure}`;
    }
    return null;
  }

  async #runOne(
    line: string,
    { init, place, timeoutMs }: InnerHookOptions,
  ): Promise<string | null> {
    // An earlier emperor's may still be on its way out.
    const slot = (MARK << 48n) | BigInt(Math.floor(this.#random() * 2 ** 47));
    const end = new Promise<SlotExit | null>((resolve) => {
      this.#onEnd = resolve;
    });
    this.#slot = slot;
    const kill = () =>
      void init.signal(slot, SIGKILL).catch(() => {
        // It has ended meanwhile, or its init has.
      });
    this.#kill = kill;
    try {
      await init.start({ slot, kind: KIND, label: LABEL, argv: ['/bin/sh', '-c', line], ...place });
    } catch (error) {
      // Who was only late may start it yet.
      kill();
      return messageOf(error);
    }
    let isLate = false;
    const cancel = this.#clock.after(timeoutMs, () => {
      isLate = true;
      kill();
    });
    const exit = await end;
    cancel();
    if (exit === null) return 'lost';
    if (isLate) return `not done after ${timeoutMs / 1000} s`;
    return exit.status === 0 ? null : exitText(exitOf(exit.status));
  }

  /** Takes note of an exit; true if it was a hook's. */
  hasEndedBy(exit: SlotExit): boolean {
    if (exit.slot !== this.#slot) return false;
    this.#slot = null;
    this.#onEnd(exit);
    return true;
  }

  /** Their jail has died, or its command has ended. */
  lose(): void {
    if (this.#slot !== null) this.#kill();
    this.#slot = null;
    this.#onEnd(null);
  }
}
