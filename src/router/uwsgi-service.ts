/**
 * The routers of unmodified uWSGI vassals, one for each `tuntap-router-uwsgi`: their devices, which the launcher keeps
 * as it keeps the host's own, and on disk who owns which address.
 */
import { type Chains, CLOSED } from '../firewall/chain.ts';
import type { Cidr } from '../firewall/prefix.ts';
import type { Patience } from '../jail/ask-for-descriptor.ts';
import { createPlainTun } from '../linux/tun.ts';
import type { DenialTotals } from './denial-totals.ts';
import { HostTun } from './host-tun.ts';
import type { AddressOwner } from './uwsgi-claims.ts';
import { type Owners, readOwners, writeOwners } from './uwsgi-owners.ts';
import { startUwsgiRouter, type UwsgiRouter, type UwsgiStats } from './uwsgi-router.ts';

/** A device for uWSGI's vassals, and the socket that they connect to. */
export interface UwsgiDevice {
  readonly device: string;
  readonly socket: string;
  /** The device's own address, and by its mask the network of the vassals. */
  readonly network: Cidr;
}

export interface UwsgiReport extends UwsgiStats {
  readonly device: string;
  readonly socket: string;
}

interface Served {
  readonly wanted: UwsgiDevice;
  readonly tun: HostTun;
  readonly router: UwsgiRouter;
}

export class UwsgiService {
  readonly #launcher: string;
  readonly #patience: Patience;
  readonly #ownersFile: string;
  readonly #denials: DenialTotals;
  readonly #onDeviceGone: (tun: HostTun, why: string) => void;
  /** By device. */
  readonly #owners: Owners;
  readonly #served = new Map<string, Served>();
  #chains = CLOSED;

  constructor(options: {
    /** Path of launcher.sock. */
    readonly launcher: string;
    readonly patience: Patience;
    /** Where to keep who owns which address. */
    readonly ownersFile: string;
    /** Counts what their chains deny, as those of the router's own vassals. */
    readonly denials: DenialTotals;
    /** One of the devices was removed. `why` is an errno's name. */
    readonly onDeviceGone: (tun: HostTun, why: string) => void;
  }) {
    this.#launcher = options.launcher;
    this.#patience = options.patience;
    this.#ownersFile = options.ownersFile;
    this.#denials = options.denials;
    this.#onDeviceGone = options.onDeviceGone;
    this.#owners = readOwners(options.ownersFile);
  }

  /**
   * Serves these and no others; those that are served already stay as they are.
   * bad-config: the network is none for it. already-running, conflict: the socket is somebody else's.
   */
  async serve(devices: readonly UwsgiDevice[]): Promise<void> {
    for (const served of this.#served.values()) {
      if (!devices.some((one) => isSame(one, served.wanted))) await this.#end(served);
    }
    for (const one of devices) {
      if (!this.#served.has(one.device)) this.#served.set(one.device, await this.#open(one));
    }
  }

  /** Resolves once no packet meets the old ones. */
  async setChains(chains: Chains): Promise<void> {
    this.#chains = chains;
    await Promise.all([...this.#served.values()].map(({ router }) => this.#setChains(router)));
  }

  async #setChains(router: UwsgiRouter): Promise<void> {
    this.#denials.retire(router.counted);
    const applied = router.setChains(this.#chains);
    this.#denials.watch(router.counted, null);
    await applied;
  }

  reports(): readonly UwsgiReport[] {
    return [...this.#served.values()].map(({ wanted: { device, socket }, router }) => ({
      device,
      socket,
      ...router.stats(),
    }));
  }

  /** Ends all; `andDevices`: their devices go, too. */
  async close({ andDevices }: { readonly andDevices: boolean }): Promise<void> {
    for (const served of this.#served.values()) {
      await served.router.close();
      if (andDevices) await served.tun.drop();
      served.tun.close();
    }
    this.#served.clear();
  }

  async #open(wanted: UwsgiDevice): Promise<Served> {
    const { device, socket, network } = wanted;
    const tun = await HostTun.open(device, {
      launcher: this.#launcher,
      patience: this.#patience,
      create: () => createPlainTun(device),
    });
    try {
      const router = await startUwsgiRouter({
        device: tun.fd,
        socketPath: socket,
        network,
        chains: this.#chains,
        owners: this.#owners.get(device) ?? [],
        onOwner: (owner) => this.#keepOwner(device, owner),
        onDeviceGone: (why) => this.#onDeviceGone(tun, why),
      });
      this.#denials.watch(router.counted, null);
      return { wanted, tun, router };
    } catch (error) {
      tun.close();
      throw error;
    }
  }

  async #end({ wanted, router, tun }: Served): Promise<void> {
    this.#served.delete(wanted.device);
    this.#denials.retire(router.counted);
    await router.close();
    await tun.drop();
    tun.close();
  }

  #keepOwner(device: string, owner: AddressOwner): void {
    const owners = this.#owners.get(device) ?? [];
    owners.push(owner);
    this.#owners.set(device, owners);
    writeOwners(this.#ownersFile, this.#owners);
  }
}

function isSame(a: UwsgiDevice, b: UwsgiDevice): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
