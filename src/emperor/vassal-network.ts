/**
 * The network of the vassals: which address each has, and that the router knows it. The router itself forwards
 * without us; we tell it who is attached and what the firewall says, and tell it again whenever there is a new one.
 */
import { type Clock, delay } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import { routerChains } from '../config/router-chains.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import {
  type Address,
  bitsOf,
  isSameAddress,
  parseAddress,
  printAddress,
} from '../firewall/address.ts';
import { type Cidr, contains, networkOf, printCidr } from '../firewall/prefix.ts';
import type { Welcome } from '../jail/init-client.ts';
import type { InterfaceAddress, JailNetwork } from '../jail/plan.ts';
import type { AddressBook } from '../network/address-book.ts';
import type { Addresses } from '../network/address-pool.ts';
import type { PoolUsage } from '../network/family-pool.ts';
import type { RouterClient } from '../router/client.ts';
import type { AttachRequest, PeerReport, RouterWelcome } from '../router/protocol.ts';
import type { Firewall } from '../router/router.ts';
import type { Launch } from '../vassal/jail.ts';
import { Attachments } from './attachments.ts';
import type { HostCidrs, HostNetwork } from './host-network.ts';
import { RouterKeeper } from './router-keeper.ts';
import { RouterLooks } from './router-looks.ts';
import type { RouterSetting } from './router-program.ts';

export interface VassalNetworkHost {
  readonly clock: Clock;
  readonly log: Log;
  readonly config: () => EmperorConfig;
  readonly book: AddressBook;
  readonly host: HostNetwork;
  /** Told why there is no router, no NAT, or none for uWSGI's vassals; null once there is. */
  readonly onTrouble: (part: 'router' | 'nat' | 'uwsgi', message: string | null) => void;
  /** Path of a vassal's init.sock. */
  readonly initSocketOf: (name: string) => string;
}

/** One that an earlier emperor started. */
export interface AdoptedVassal {
  readonly name: string;
  /** What runs; null where no record tells. */
  readonly config: VassalConfig | null;
  readonly welcome: Pick<Welcome, 'address' | 'address6'>;
}

/** Packets that wait for the router in a vassal's device; with offloads each may be 64 KB. */
const QUEUE_PACKETS = 500;
const MTU = 1500;
/**
 * A new router forwards nothing until all are attached, or this long: else the packets for those that are not would be
 * dropped, and TCP waits twice as long after each loss.
 */
const HOLD_MS = 300;

export class VassalNetwork {
  readonly #host: VassalNetworkHost;
  readonly #attachments: Attachments;
  readonly #keeper: RouterKeeper;
  /** The host's, such as emperor0. */
  readonly device: string;
  /** What the router says of itself and its totals. */
  readonly looks: RouterLooks;
  #isPrepared = false;

  /** Starts or finds the router; where that cannot be, it is tried again and again. */
  static async open(host: VassalNetworkHost, setting: RouterSetting): Promise<VassalNetwork> {
    const network = new VassalNetwork(host, setting);
    await network.#keeper.firstAttempt;
    return network;
  }

  private constructor(host: VassalNetworkHost, setting: RouterSetting) {
    const { clock, log } = host;
    this.#host = host;
    this.device = setting.device;
    this.#attachments = new Attachments({ clock, log, tell: (say) => this.#keeper.tell(say) });
    this.#keeper = new RouterKeeper({
      ...{ setting, clock, log },
      onTrouble: (message) => host.onTrouble('router', message),
      prepare: (client, welcome) => this.#prepare(client, welcome),
    });
    this.looks = new RouterLooks(clock, () => this.router);
  }

  async #prepare(client: RouterClient, { isNewDevice, ledgerFault }: RouterWelcome): Promise<void> {
    const { clock, log } = this.#host;
    // Where only the router was lost, the host's side stands, and the vassals are waiting.
    const isRestart = this.#isPrepared && !isNewDevice;
    if (!isRestart) await this.#prepareHost(isNewDevice);
    this.#isPrepared = true;
    if (ledgerFault !== null) log.warn({ reason: ledgerFault }, 'totals live in memory only');
    const { mode, reason } = await client.call('settled', null);
    if (mode === 'plain') log.warn({ reason }, 'the router handles packets one by one: slow');
    await client.call('firewall', this.#firewall);
    const attempts = await this.#attachments.attachMissing(client);
    await Promise.race([Promise.all(attempts), delay(clock, HOLD_MS)]);
    await client.call('begin', null);
    await this.#serveUwsgi(client);
    await this.#attachments.forgetAll(client);
    if (isRestart) await this.#prepareHost(isNewDevice);
  }

  async #prepareHost(isNewDevice: boolean): Promise<void> {
    await this.#host.host.prepare({ isNew: isNewDevice });
    await this.#applyNat();
  }

  /** Our own vassals have a network without it. */
  async #serveUwsgi(client: RouterClient): Promise<void> {
    const { config, host, onTrouble } = this.#host;
    const devices = config().uwsgiRouters.map(({ device, socket, address }) => ({
      ...{ device, socket },
      network: address,
    }));
    const serving = client.call('uwsgi', devices).then(() => host.prepareUwsgi());
    onTrouble('uwsgi', await serving.then(() => null, messageOf));
  }

  /** Without NAT vassals still reach the host and each other. */
  async #applyNat(): Promise<void> {
    const { host, onTrouble } = this.#host;
    onTrouble('nat', await host.applyNat().then(() => null, messageOf));
  }

  get #firewall(): Firewall {
    const { cidr4, cidr6 } = this.cidrs;
    const network = (cidr: Cidr | null) => cidr && { prefix: networkOf(cidr), host: cidr.address };
    return {
      chains: routerChains(this.#host.config()),
      network4: network(cidr4),
      network6: network(cidr6),
    };
  }

  /** What the jail of a vassal gets; null for one without a device. Throws `conflict` where no address is left. */
  jailNetworkOf(config: VassalConfig): JailNetwork | null {
    if (!config.device) return null;
    const { address, address6 } = this.#host.book.addressOf(config.name, config);
    const { cidr4, cidr6 } = this.#host.host.cidrs;
    return {
      interface: config.device.name,
      mtu: MTU,
      queuePackets: QUEUE_PACKETS,
      ipv4: interfaceAddress(address, cidr4, config.address !== null),
      ipv6: interfaceAddress(address6, cidr6, config.address6 !== null),
    };
  }

  /** What attaches a vassal that stands at its gate; null for one without a device. */
  connectorOf(config: VassalConfig): Launch['connect'] {
    if (!config.device) return null;
    return async (welcome, init) => {
      // Init still runs no instruction of the tenant's, so it is believed.
      const found = {
        address: addressIn(welcome.address),
        address6: addressIn(welcome.address6),
      };
      this.#host.book.claim(config.name, found);
      await this.#attachments.attach(await this.#keeper.client(), {
        name: config.name,
        init,
        address4: found.address,
        address6: found.address6,
        rules: config.deviceRules,
      });
    };
  }

  /** A vassal has ended. */
  detach(name: string): void {
    this.#attachments.detach(name);
  }

  /** Takes over what an earlier emperor attached: those that run stay as they are, the others go. */
  async adopt(running: readonly AdoptedVassal[]): Promise<void> {
    await this.#attachments.adopt(running, (vassal, peer) => this.#specOf(vassal, peer));
  }

  /** Undefined for one without a device. What was written down may be lost: then the router knows, or its init. */
  #specOf(
    { name, config, welcome }: AdoptedVassal,
    peer: PeerReport | undefined,
  ): AttachRequest | undefined {
    if (config && !config.device) return undefined;
    const found = peer
      ? { address: peer.address4, address6: peer.address6 }
      : { address: addressIn(welcome.address), address6: addressIn(welcome.address6) };
    const written = this.#host.book.find(name);
    const isWritten = written.address !== null || written.address6 !== null;
    const { address, address6 } = isWritten ? written : found;
    if (address === null && address6 === null) return undefined;
    if (!isWritten && !this.#reclaim(name, found)) return undefined;
    return {
      name,
      init: this.#host.initSocketOf(name),
      address4: address,
      address6,
      rules: config?.deviceRules ?? peer?.rules ?? [],
    };
  }

  /** False where somebody else has it by now. */
  #reclaim(name: string, found: Addresses): boolean {
    try {
      this.#host.book.claim(name, found);
      return true;
    } catch (error) {
      if (!(error instanceof EmperorError)) throw error;
      this.#host.log.error({ vassal: name, error: error.message }, 'it has no network any more');
      return false;
    }
  }

  /** A vassal's own rules may have changed; resolves when they are in force, unless a new router is on its way. */
  async applyRules({ name, deviceRules }: VassalConfig): Promise<void> {
    await this.#attachments.setRules(name, deviceRules);
  }

  /** emperor.ini may say something else about firewall and NAT. */
  async applySettings(): Promise<void> {
    await this.#keeper.tell((client) => client.call('firewall', this.#firewall));
    await this.#applyNat();
  }

  /** The launcher was started anew. */
  keepDevice(): void {
    void this.#keeper.tell((client) => client.call('keep', null));
  }

  /** Forgets addresses and totals of a vassal; a router that is being started hears of it, too. */
  forget(name: string): void {
    this.#host.book.forget(name);
    this.#attachments.forget(name);
  }

  /** The router that runs; null while a new one is being started. */
  get router(): RouterClient | null {
    return this.#keeper.running;
  }

  /** What a vassal holds, whether it runs or not. */
  addressesOf(name: string): Addresses {
    return this.#host.book.find(name);
  }

  /** True for an address that is a vassal's, or would have to be. */
  isOfVassals(address: Address): boolean {
    if (this.#host.book.ownerOf(address) !== undefined) return true;
    const { cidr4, cidr6 } = this.cidrs;
    const ofUwsgi = this.#host.config().uwsgiRouters.map((router) => router.address);
    return [cidr4, cidr6, ...ofUwsgi].some(
      (cidr) => cidr && !isSameAddress(cidr.address, address) && contains(networkOf(cidr), address),
    );
  }

  /** How full the pools of addresses are. */
  get pools(): readonly PoolUsage[] {
    const { address, address6 } = this.#host.book.usage();
    return [address, address6].filter((pool) => pool !== null);
  }

  /** The host's own addresses. */
  get cidrs(): HostCidrs {
    return this.#host.host.cidrs;
  }

  isAttached(name: string): boolean {
    return this.#attachments.has(name);
  }

  /** Ends the router, with its device and NAT. */
  async quit(): Promise<void> {
    await this.#keeper.quit();
    await this.#host.host.drop();
  }

  /** Lets go of the router, which lives on. */
  close(): void {
    this.#keeper.close();
  }
}

function interfaceAddress(
  address: Address | null,
  cidr: Cidr | null,
  isExact: boolean,
): InterfaceAddress {
  return {
    address: address && printCidr({ address, length: cidr?.length ?? bitsOf(address.family) }),
    isExact,
    gateway: cidr && printAddress(cidr.address),
  };
}

/** The address in `192.168.0.2/24`. */
function addressIn(text: string | null): Address | null {
  return (text !== null && parseAddress(text.replace(/\/.*/, ''))) || null;
}
