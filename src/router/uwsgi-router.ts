/**
 * The router of unmodified uWSGI vassals (`tuntap-router-uwsgi = DEVICE SOCKET CIDR`), for the router's main thread:
 * opens the socket that `tuntap-device = uwsgi0 SOCKET` of uWSGI connects to, and starts the thread that serves it.
 *
 * Who may connect can send packets, so the socket is 0600 by default: uWSGI connects as root, before its vassal
 * becomes another user. Where others shall connect, a wider mode and the rights of the directory say who.
 */
import { closeSync, lstatSync, rmSync } from 'node:fs';
import { type Chains, CLOSED } from '../firewall/chain.ts';
import type { Cidr } from '../firewall/prefix.ts';
import { listenUnix } from '../linux/unix-socket.ts';
import { type CountedChains, countChains } from './gates.ts';
import { LoopThread } from './loop-thread.ts';
import { type AddressOwner, Claims } from './uwsgi-claims.ts';
import {
  clientStats,
  reasonTotals,
  sharedCounters,
  type UwsgiClientStats,
  type UwsgiReason,
} from './uwsgi-counters.ts';
import type { UwsgiLoopMessage, UwsgiLoopReport } from './uwsgi-loop.ts';
import type { UwsgiWorkerData } from './uwsgi-worker.ts';

const DEFAULT_SOCKET_MODE = 0o600;

export interface UwsgiRouterSetting {
  /** As createPlainTun() makes it. It stays the caller's: to be closed after close(). */
  readonly device: number;
  readonly socketPath: string;
  /** 0600 if not given. */
  readonly socketMode?: number;
  /** The device's own address, and the mask of the network that vassals take theirs from. */
  readonly network: Cidr;
  readonly chains: Chains;
  /** Addresses that already have an owner, as onOwner() told of them. */
  readonly owners?: readonly AddressOwner[];
  /** An address got its first owner, for good: to be kept for `owners`. */
  readonly onOwner?: (owner: AddressOwner) => void;
  /** The device was removed; no packet comes from it any more. `why` is an errno's name. */
  readonly onDeviceGone?: (why: string) => void;
}

export interface UwsgiStats {
  readonly clients: readonly UwsgiClientStats[];
  /** Packets dropped and connections ended, by reason. */
  readonly reasons: Readonly<Record<UwsgiReason, number>>;
  /** Since the chains were set: how often each rule denied, `[rule + 1]`, and the policy at 0. */
  readonly denials: { readonly in: readonly number[]; readonly out: readonly number[] };
}

export interface UwsgiRouter {
  /** Replaces the chains; once it resolves, no packet meets the old ones. */
  setChains(chains: Chains): Promise<void>;
  /** The chains in force, with what their rules have denied. */
  readonly counted: CountedChains;
  stats(): UwsgiStats;
  /** Disconnects all and removes the socket. */
  close(): Promise<void>;
}

/**
 * Starts to serve; resolves once the chains are in force.
 * bad-config: the network is none for it. already-running, conflict: as listenUnix().
 */
export async function startUwsgiRouter(setting: UwsgiRouterSetting): Promise<UwsgiRouter> {
  // The thread makes its own; here it tells what is wrong with the setting.
  new Claims(setting.network, []);
  const router = new RunningUwsgiRouter(setting);
  await router.setChains(setting.chains);
  return router;
}

class RunningUwsgiRouter implements UwsgiRouter {
  readonly #setting: UwsgiRouterSetting;
  readonly #listener: number;
  readonly #inode: number;
  readonly #thread: LoopThread<UwsgiLoopMessage, UwsgiLoopReport>;
  readonly #counters = sharedCounters();
  readonly #applied = new Map<number, () => void>();
  /** As the thread's own, until it is told of others. */
  #counted = countChains(CLOSED);
  #version = 0;
  #isClosed = false;

  constructor(setting: UwsgiRouterSetting) {
    this.#setting = setting;
    this.#listener = listenUnix(setting.socketPath, {
      mode: setting.socketMode ?? DEFAULT_SOCKET_MODE,
      passesCredentials: true,
    });
    this.#inode = lstatSync(setting.socketPath).ino;
    this.#thread = new LoopThread({
      worker: 'uwsgi-worker',
      dataOf: (wake): UwsgiWorkerData => ({
        device: setting.device,
        listener: this.#listener,
        wake,
        network: setting.network,
        owners: setting.owners ?? [],
        counters: this.#counters,
      }),
      onReport: (report) => this.#hear(report),
    });
  }

  async setChains(chains: Chains): Promise<void> {
    if (this.#isClosed) throw new Error('The router of uWSGI vassals is closed');
    this.#version += 1;
    const version = this.#version;
    this.#counted = countChains(chains);
    const applied = new Promise<void>((resolve) => this.#applied.set(version, resolve));
    const denials = { in: this.#counted.in.denials, out: this.#counted.out.denials };
    this.#thread.tell({ type: 'chains', version, chains, denials });
    await Promise.race([applied, this.#thread.ended]);
  }

  get counted(): CountedChains {
    return this.#counted;
  }

  stats(): UwsgiStats {
    return {
      clients: clientStats(this.#counters.clients),
      reasons: reasonTotals(this.#counters.reasons),
      denials: { in: [...this.#counted.in.denials], out: [...this.#counted.out.denials] },
    };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#removeSocket();
    await this.#thread.end();
    closeSync(this.#listener);
  }

  /** Unless another router has taken its place. */
  #removeSocket(): void {
    const { socketPath } = this.#setting;
    const found = lstatSync(socketPath, { throwIfNoEntry: false });
    if (found?.ino === this.#inode) rmSync(socketPath, { force: true });
  }

  #hear(report: UwsgiLoopReport): void {
    switch (report.type) {
      case 'applied':
        this.#applied.get(report.version)?.();
        this.#applied.delete(report.version);
        return;
      case 'owner':
        this.#setting.onOwner?.({ address: report.address, uid: report.uid });
        return;
      case 'device-gone':
        this.#setting.onDeviceGone?.(report.why);
    }
  }
}
