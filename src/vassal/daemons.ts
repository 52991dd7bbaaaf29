/**
 * The attached daemons of one vassal, as a set: what its configuration says against what runs. Only what differs is
 * touched, one change after another. Nothing here fails its vassal; daemon-process.ts does the rest.
 */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { daemonsOf } from '../config/judge-processes.ts';
import { type Daemon, plainDaemon } from '../config/kinds/daemons.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import type { SlotEntry, SlotExit } from '../jail/init-client.ts';
import { DAEMON_KIND, type DaemonHost, DaemonProcess } from './daemon-process.ts';
import { type DaemonKey, keyed, labelOf, partsOf } from './daemon-slots.ts';

export type DaemonsHost = Omit<DaemonHost, 'mayStart'> & {
  readonly clock: Clock;
  /** Whether the vassal is in a state to start daemons. */
  readonly mayStart: () => boolean;
};

/** What was killed has this long to go; a process that the kernel does not let die is left behind. */
const KILL_MARGIN_MS = 1000;

export class Daemons {
  readonly #host: DaemonHost;
  readonly #clock: Clock;
  readonly #graceMs: () => number;
  /** In the order of their starts. */
  #processes = new Map<DaemonKey, DaemonProcess>();
  #wanted: ReadonlyMap<DaemonKey, Daemon> = new Map();
  /** What an earlier emperor started, until the configuration is known. */
  readonly #found = new Map<DaemonKey, SlotEntry>();
  #changes: Promise<void> = Promise.resolve();

  constructor(host: DaemonsHost) {
    this.#clock = host.clock;
    this.#graceMs = host.graceMs;
    this.#host = {
      ...host,
      mayStart: (one) => host.mayStart() && this.#wanted.has(one.key) && this.#has(one),
    };
  }

  get all(): readonly DaemonProcess[] {
    return [...this.#processes.values()];
  }

  #has(one: DaemonProcess): boolean {
    return this.#processes.get(one.key) === one;
  }

  /** Takes note of those that an earlier emperor started; what they are is known with the configuration. */
  adopt(slots: readonly SlotEntry[]): void {
    for (const entry of slots) {
      const parts = entry.kind === DAEMON_KIND ? partsOf(entry.slot) : undefined;
      if (!parts) continue;
      // Of one that was started again the living one counts.
      if (entry.state === 'running' || !this.#found.has(parts.key)) {
        this.#found.set(parts.key, entry);
      }
    }
  }

  /** Brings what runs in line with `config`: ends what is not in it, then starts what is missing. */
  want(config: VassalConfig): void {
    this.#wanted = keyed(daemonsOf(config));
    if (this.#wanted.size + this.#processes.size + this.#found.size === 0) return;
    this.#changes = this.#changes
      .then(() => this.#apply())
      .catch((error) => {
        this.#host.onTrouble(messageOf(error));
      });
  }

  async #apply(): Promise<void> {
    this.#takeOverFound();
    const gone = this.all.filter(({ key }) => !this.#wanted.has(key));
    await this.#stopInReverse(gone, this.#graceMs());
    const before = this.#processes;
    // Labels of those that stay are taken before new ones are chosen.
    const taken = new Set(
      [...before.values()].filter((one) => !gone.includes(one)).map(({ label }) => label),
    );
    this.#processes = new Map();
    for (const [key, daemon] of this.#wanted) {
      const known = before.get(key);
      const label = known?.label ?? labelOf(daemon, taken);
      taken.add(label);
      this.#processes.set(key, known ?? new DaemonProcess(this.#host, { key, daemon, label }));
    }
    for (const one of this.all) one.start();
  }

  #takeOverFound(): void {
    for (const [key, entry] of this.#found) {
      const daemon = this.#wanted.get(key) ?? plainDaemon(entry.argv);
      const label = labelOf(
        { ...daemon, name: entry.label },
        new Set(this.all.map((one) => one.label)),
      );
      const one = new DaemonProcess(this.#host, { key, daemon, label });
      this.#processes.set(key, one);
      one.adopt(entry);
    }
    this.#found.clear();
  }

  /** A reload of the command: those that it does not concern stay; the others end, and are wanted again later. */
  async reload(graceMs: number): Promise<void> {
    await this.#stopInReverse(
      this.all.filter((one) => !one.reloadInPlace()),
      graceMs,
    );
  }

  /** Ends all, the last one first. */
  async stop(graceMs: number): Promise<void> {
    this.#wanted = new Map();
    await this.#stopInReverse(this.all, graceMs);
  }

  /** One after the other, `graceMs` in all: what one does not need of its share is the others'. */
  async #stopInReverse(ones: readonly DaemonProcess[], graceMs: number): Promise<void> {
    const until = this.#clock.monotonic() + graceMs;
    for (const [index, one] of [...ones.entries()].reverse()) {
      const shareMs = Math.max(0, until - this.#clock.monotonic()) / (index + 1);
      await within(this.#clock, one.stop(shareMs), shareMs + KILL_MARGIN_MS);
    }
  }

  /** Takes note of an exit; true if it was one of these. */
  hasEndedBy(exit: SlotExit): boolean {
    for (const [key, entry] of this.#found) {
      if (entry.slot === exit.slot) this.#found.set(key, { ...entry, state: 'ended', exit });
    }
    return this.all.some((one) => one.hasEndedBy(exit));
  }

  /** The jail has died, or the emperor lets go. */
  lose(): void {
    this.#wanted = new Map();
    this.#found.clear();
    for (const one of this.all) one.lose();
    this.#processes.clear();
  }
}

/** Resolves when `work` is done, or after `ms`. */
async function within(clock: Clock, work: Promise<void>, ms: number): Promise<void> {
  let cancel = () => {};
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  await Promise.race([work, late]);
  cancel();
}
