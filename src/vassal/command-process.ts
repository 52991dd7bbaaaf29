/**
 * The command of one vassal: a process in a slot of its init. Knows how it is started, stopped and awaited;
 * whether it is started again is vassal.ts's business.
 */
import type { Clock } from '../base/clock.ts';
import type { InitClient, SlotEntry, SlotExit, StartRequest } from '../jail/init-client.ts';

/** How a command is started inside. */
export interface CommandLine {
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
}

/** The command itself, and what it says of itself. */
export type MainLine = CommandLine & Pick<StartRequest, 'notify' | 'watchdogMs'>;

const KIND = 'command';
const SIGKILL = 9;

export class CommandProcess {
  readonly #clock: Clock;
  #slot: bigint | null = null;
  #nextSlot = 1n;
  /** Monotonic milliseconds. */
  #startedAt = 0;
  /** Set while it is being stopped: who waits for its end. */
  #stopping: (() => void) | null = null;
  #cancelKill: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Slot in init; null while it does not run. */
  get slot(): bigint | null {
    return this.#slot;
  }

  /** How long it has run, in milliseconds. */
  get ageMs(): number {
    return this.#clock.monotonic() - this.#startedAt;
  }

  /** A new jail has no slots. */
  reset(): void {
    this.#slot = null;
    this.#nextSlot = 1n;
  }

  /** Finds the command among the slots of an adopted init: the one that lives, or the last that ended. */
  adopt(slots: readonly SlotEntry[]): SlotEntry | undefined {
    const own = slots.filter(({ kind }) => kind === KIND);
    for (const { slot } of own) if (slot >= this.#nextSlot) this.#nextSlot = slot + 1n;
    const live = own.find(({ state }) => state === 'running');
    this.#slot = live?.slot ?? null;
    const livedMs = live?.startedAtMs ? this.#clock.now() - live.startedAtMs : 0;
    this.#startedAt = this.#clock.monotonic() - livedMs;
    return live ?? own.at(-1);
  }

  /** Throws a StartError. */
  async start(init: InitClient, line: MainLine): Promise<void> {
    const slot = this.#nextSlot;
    this.#nextSlot += 1n;
    this.#slot = slot;
    this.#startedAt = this.#clock.monotonic();
    try {
      await init.start({ slot, kind: KIND, label: KIND, ...line });
    } catch (error) {
      // Who was only late may start it yet.
      sendSignal(init, slot, SIGKILL);
      if (this.#slot === slot) this.#slot = null;
      throw error;
    }
  }

  /** Sends `signal`, after the grace SIGKILL; resolves when it has ended or its jail is lost. */
  async stop(
    init: InitClient,
    options: { readonly signal: number; readonly graceMs: number },
  ): Promise<void> {
    const slot = this.#slot;
    if (slot === null) return;
    const ended = new Promise<void>((resolve) => {
      this.#stopping = resolve;
    });
    this.end(init, options);
    await ended;
    this.#stopping = null;
    this.#slot = null;
  }

  /** Sends `signal` and, if it has not ended after the grace, SIGKILL; its end is told as any other. */
  end(init: InitClient, options: { readonly signal: number; readonly graceMs: number }): void {
    const slot = this.#slot;
    if (slot === null) return;
    sendSignal(init, slot, options.signal);
    this.#cancelKill();
    this.#cancelKill = this.#clock.after(options.graceMs, () => sendSignal(init, slot, SIGKILL));
  }

  /** Takes note of an exit; true if it is the end of the command that nobody asked for. */
  hasEndedBy(exit: SlotExit): boolean {
    if (exit.slot !== this.#slot) return false;
    this.#cancelKill();
    if (this.#stopping) {
      this.#stopping();
      return false;
    }
    this.#slot = null;
    return true;
  }

  /** Its jail has died. */
  lose(): void {
    this.#cancelKill();
    this.#slot = null;
    this.#stopping?.();
  }
}

function sendSignal(init: InitClient, slot: bigint, signal: number): void {
  init.signal(slot, signal).catch(() => {
    // It has ended meanwhile; its exit is on the way, or its init is lost.
  });
}
