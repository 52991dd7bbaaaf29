/**
 * The network of the vassals: which address each has, and that the router knows it. The router itself forwards
 * without us; we tell it who is attached and what the firewall says, and tell it again whenever there is a new one.
 */
import { type Clock, delay } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
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
import { NO_TRAFFIC, type Traffic } from '../router/counters.ts';
import type {
  AttachRequest,
  PeerReport,
  RouterAbout,
  RouterCall,
  RouterCalls,
  RouterStatus,
  RouterWelcome,
} from '../router/protocol.ts';
import type { Firewall } from '../router/router.ts';
import type { Launch } from '../vassal/jail.ts';
import type { HostCidrs, HostNetwork } from './host-network.ts';
import { RouterKeeper } from './router-keeper.ts';
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
/** A vassal that could not be attached to a new router is tried again after this long. */
const RETRY_MS = 500;
/** A router that has not answered by then is left out of what is told. */
const ANSWER_MS = 1000;

/** The router's answer; its last one where it gives none now, null if it never did. */
export interface RouterLook {
  readonly status: RouterStatus | null;
  readonly isNow: boolean;
}

export class VassalNetwork {
  readonly #host: VassalNetworkHost;
  readonly #keeper: RouterKeeper;
  /** What should be attached, by name. */
  readonly #specs: Map<string, AttachRequest>;
  /** Names whose totals the router is still to forget. */
  readonly #forgotten: Set<string>;
  readonly #device: string;
  #looking: Promise<RouterLook> | null = null;
  #lastStatus: RouterStatus | null = null;
  readonly #pending: Set<string>;

  /** Starts or finds the router; where that cannot be, it is tried again and again. */
  static async open(host: VassalNetworkHost, setting: RouterSetting): Promise<VassalNetwork> {
    const specs = new Map<string, AttachRequest>();
    const forgotten = new Set<string>();
    const pending = new Set<string>();
    const { clock, log } = host;
    let isPrepared = false;
    const keeper = await RouterKeeper.open({
      setting,
      clock,
      log,
      onTrouble: (message) => host.onTrouble('router', message),
      prepare: async (client, welcome) => {
        // Where only the router was lost, the host's side stands, and the vassals are waiting.
        const isRestart = isPrepared && !welcome.isNewDevice;
        if (!isRestart) await prepareHost(host, welcome);
        isPrepared = true;
        const { ledgerFault } = welcome;
        if (ledgerFault !== null) log.warn({ reason: ledgerFault }, 'totals live in memory only');
        const { mode, reason } = await client.call('settled', null);
        if (mode === 'plain') log.warn({ reason }, 'the router handles packets one by one: slow');
        await client.call('firewall', firewallOf(host));
        await attachMissing({ host, client, specs, pending });
        await serveUwsgi(host, client);
        for (const name of [...forgotten]) await forgetOne(client, name, forgotten);
        if (isRestart) await prepareHost(host, welcome);
      },
    });
    const { device } = setting;
    return new VassalNetwork(host, { keeper, specs, forgotten, pending, device });
  }

  private constructor(
    host: VassalNetworkHost,
    parts: {
      readonly keeper: RouterKeeper;
      readonly specs: Map<string, AttachRequest>;
      readonly forgotten: Set<string>;
      readonly device: string;
      readonly pending: Set<string>;
    },
  ) {
    this.#host = host;
    this.#keeper = parts.keeper;
    this.#specs = parts.specs;
    this.#forgotten = parts.forgotten;
    this.#device = parts.device;
    this.#pending = parts.pending;
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
      await this.#attach({
        name: config.name,
        init,
        address4: found.address,
        address6: found.address6,
        rules: config.deviceRules,
      });
    };
  }

  async #attach(spec: AttachRequest): Promise<void> {
    const client = await this.#keeper.client();
    this.#pending.delete(spec.name);
    // A router that comes later attaches it as well.
    this.#specs.set(spec.name, spec);
    try {
      await client.call('attach', spec);
    } catch (error) {
      this.#specs.delete(spec.name);
      throw error;
    }
  }

  /** A vassal has ended: as long as its device is held, its network namespace is. */
  detach(name: string): void {
    if (!this.#specs.delete(name)) return;
    void this.#tell((client) => client.call('detach', { name }));
  }

  /**
   * Takes over what an earlier emperor attached: those that run stay as they are, the others go. Where there is no
   * router, the next one attaches those that run.
   */
  async adopt(running: readonly AdoptedVassal[]): Promise<void> {
    const client = this.#keeper.running?.client;
    const peers = client ? await client.call('peers', null) : [];
    const known = new Map(peers.map((peer) => [peer.name, peer]));
    for (const vassal of running) {
      const spec = this.#specOf(vassal, known.get(vassal.name));
      if (spec) this.#specs.set(spec.name, spec);
    }
    if (!client) return;
    for (const { name } of peers) {
      if (!this.#specs.has(name)) await client.call('detach', { name });
    }
    await attachMissing({
      ...{ host: this.#host, client },
      ...{ specs: this.#specs, pending: this.#pending },
    });
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
    const spec = this.#specs.get(name);
    const rules = deviceRules;
    if (!spec || JSON.stringify(spec.rules) === JSON.stringify(rules)) return;
    this.#specs.set(name, { ...spec, rules });
    await this.#tell((client) => client.call('rules', { name, rules }));
  }

  /** emperor.ini may say something else about firewall and NAT. */
  async applySettings(): Promise<void> {
    await this.#tell((client) => client.call('firewall', firewallOf(this.#host)));
    await applyNat(this.#host);
  }

  /** The launcher was started anew. */
  keepDevice(): void {
    void this.#tell((client) => client.call('keep', null));
  }

  /** Forgets addresses and totals of a vassal; a router that is being started hears of it first of all. */
  forget(name: string): void {
    this.#host.book.forget(name);
    this.#specs.delete(name);
    this.#forgotten.add(name);
    void this.#tell((client) => forgetOne(client, name, this.#forgotten));
  }

  /** The host's, such as emperor0. */
  get device(): string {
    return this.#device;
  }

  /** The router that runs; null while a new one is being started. */
  get router(): RouterClient | null {
    return this.#keeper.running?.client ?? null;
  }

  /** The router's process; null where it does not answer. */
  about(): Promise<RouterAbout | null> {
    return this.#ask('about', null);
  }

  /** What the router says, asked once for all who ask now. */
  look(): Promise<RouterLook> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<RouterLook> {
    const status = await this.#ask('status', null);
    this.#lastStatus = status ?? this.#lastStatus;
    return { status: this.#lastStatus, isNow: status !== null };
  }

  /** Totals of one vassal; as they were last where the router does not answer, null if it never did. */
  async trafficOf(name: string): Promise<Traffic | null> {
    const told = await this.#ask('traffic', { name });
    if (told !== null) return told;
    return this.#lastStatus ? (this.#lastStatus.traffic[name] ?? NO_TRAFFIC) : null;
  }

  /** Null where it does not answer: whoever looks at all vassals does not wait for one router. */
  async #ask<Call extends RouterCall>(
    call: Call,
    ask: RouterCalls[Call]['ask'],
  ): Promise<RouterCalls[Call]['answer'] | null> {
    const client = this.router;
    if (client === null) return null;
    let stop = () => {};
    const late = new Promise<null>((resolve) => {
      stop = this.#host.clock.after(ANSWER_MS, () => resolve(null));
    });
    try {
      return await Promise.race([client.call(call, ask), late]);
    } catch (error) {
      if (error instanceof EmperorError && error.code === 'not-reachable') return null;
      throw error;
    } finally {
      stop();
    }
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
    return this.#specs.has(name);
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

  /** Says something to the router that runs; one that is being started hears of it anyway. */
  async #tell(say: (client: RouterClient) => Promise<unknown>): Promise<void> {
    const running = this.#keeper.running;
    if (!running) return;
    try {
      await say(running.client);
    } catch (error) {
      if (error instanceof EmperorError && error.code === 'not-reachable') return;
      this.#host.log.error({ error: messageOf(error) }, 'the router refused');
    }
  }
}

/** Our own vassals have a network without it. */
async function serveUwsgi(
  { config, host, onTrouble }: VassalNetworkHost,
  client: RouterClient,
): Promise<void> {
  const devices = config().uwsgiRouters.map(({ device, socket, address }) => ({
    ...{ device, socket },
    network: address,
  }));
  const serving = client.call('uwsgi', devices).then(() => host.prepareUwsgi());
  onTrouble('uwsgi', await serving.then(() => null, messageOf));
}

/** A name stays among `forgotten` until the router has it forgotten. */
async function forgetOne(
  client: RouterClient,
  name: string,
  forgotten: Set<string>,
): Promise<void> {
  await client.call('forget', { name });
  forgotten.delete(name);
}

/** Without NAT vassals still reach the host and each other. */
async function applyNat({ host, onTrouble }: VassalNetworkHost): Promise<void> {
  onTrouble('nat', await host.applyNat().then(() => null, messageOf));
}

async function prepareHost(host: VassalNetworkHost, { isNewDevice }: RouterWelcome): Promise<void> {
  await host.host.prepare({ isNew: isNewDevice });
  await applyNat(host);
}

interface Attaching {
  readonly host: VassalNetworkHost;
  readonly client: RouterClient;
  readonly specs: ReadonlyMap<string, AttachRequest>;
  /** Names of those that are asked until they are attached. */
  readonly pending: Set<string>;
}

/**
 * Attaches what the router does not know, all at once and without waiting for it: an init that is frozen or hangs
 * delays nobody, and is asked until it answers.
 */
async function attachMissing(attaching: Attaching): Promise<void> {
  const { client, specs } = attaching;
  const known = new Map((await client.call('peers', null)).map((peer) => [peer.name, peer]));
  for (const spec of specs.values()) {
    if (!isAttached(spec, known.get(spec.name))) void attachUntilDone(attaching, spec.name);
  }
}

async function attachUntilDone(
  { host, client, specs, pending }: Attaching,
  vassal: string,
): Promise<void> {
  const { clock, log } = host;
  pending.add(vassal);
  for (let attempt = 1; pending.has(vassal); attempt += 1) {
    const spec = specs.get(vassal);
    if (!spec) break;
    try {
      await client.call('attach', spec);
      if (attempt > 1) log.info({ vassal, attempt }, 'it is attached to the router now');
      break;
    } catch (error) {
      // A router that has ended is replaced, and its successor is told all.
      if (client.isClosed) return;
      const text = 'it cannot be attached to the router, trying until it can';
      if (attempt === 1) log.warn({ vassal, error: messageOf(error) }, text);
      await delay(clock, RETRY_MS);
    }
  }
  pending.delete(vassal);
}

function isAttached(spec: AttachRequest, peer: PeerReport | undefined): boolean {
  return (
    peer?.gone === null &&
    isSame(spec.address4, peer.address4) &&
    isSame(spec.address6, peer.address6) &&
    JSON.stringify(spec.rules) === JSON.stringify(peer.rules)
  );
}

function isSame(a: Address | null, b: Address | null): boolean {
  return a === null || b === null ? a === b : isSameAddress(a, b);
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

function firewallOf({ config, host }: VassalNetworkHost): Firewall {
  const { firewallIn, firewallOut, firewallPolicy: policy } = config();
  const network = (cidr: Cidr | null) => cidr && { prefix: networkOf(cidr), host: cidr.address };
  return {
    chains: { in: { rules: firewallIn, policy }, out: { rules: firewallOut, policy } },
    network4: network(host.cidrs.cidr4),
    network6: network(host.cidrs.cidr6),
  };
}
