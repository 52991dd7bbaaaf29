/**
 * The host's side of the network: the router's device with its addresses, the operator's own lines, and NAT. Done anew
 * whenever a router was started; what is there already stays as it is.
 */
import type { Clock } from '../base/clock.ts';
import { EmperorError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type Run, runTool } from '../base/run-tool.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import { type Cidr, networkOf } from '../firewall/prefix.ts';
import { readDeviceCidrs } from '../network/device-addresses.ts';
import { setUpHostDevice } from '../network/host-device.ts';
import { overlapText, overlapWith, readHostRoutes } from '../network/host-routes.ts';
import { dropNat, enableForwarding, putNat } from '../network/nat.ts';
import { runHooks } from '../network/run-hooks.ts';

export interface HostCidrs {
  readonly cidr4: Cidr | null;
  readonly cidr6: Cidr | null;
}

export class HostNetwork {
  readonly #device: string;
  readonly #config: () => EmperorConfig;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #run: Run;
  #cidrs: HostCidrs;
  /** One change of NAT at a time: an earlier one would undo a later one. */
  #natTurn: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly device: string;
    readonly config: () => EmperorConfig;
    readonly log: Log;
    readonly clock: Clock;
    readonly run?: Run;
  }) {
    this.#device = options.device;
    this.#config = options.config;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#run = options.run ?? runTool;
    const { routerAddress, routerAddress6 } = options.config();
    this.#cidrs = { cidr4: routerAddress, cidr6: routerAddress6 };
  }

  /** The device's own addresses and networks: those of emperor.ini, else what was found on it. */
  get cidrs(): HostCidrs {
    return this.#cidrs;
  }

  /**
   * Sets up the device, which is there; `isNew`: the operator's lines are run. Throws `conflict` where the network
   * is somebody else's on this host, and `exec-failed`.
   */
  async prepare({ isNew }: { readonly isNew: boolean }): Promise<void> {
    const {
      routerAddress: cidr4,
      routerAddress6: cidr6,
      execAsRoot,
      hookTimeoutMs,
    } = this.#config();
    await this.#refuseOverlap({ 'tuntap-router-address': cidr4, 'tuntap-router-address6': cidr6 });
    await setUpHostDevice(this.#run, { device: this.#device, cidr4, cidr6 });
    if (isNew) {
      const [clock, log] = [this.#clock, this.#log];
      await runHooks(execAsRoot, { timeoutMs: hookTimeoutMs, clock, log });
    }
    const found = await readDeviceCidrs(this.#run, this.#device);
    this.#cidrs = { cidr4: cidr4 ?? found.cidr4, cidr6: cidr6 ?? found.cidr6 };
  }

  /** Makes, replaces or removes the table of NAT. Throws `exec-failed` and `not-supported`. */
  applyNat(): Promise<void> {
    const applied = this.#natTurn.then(() => this.#applyNat());
    this.#natTurn = applied.catch(() => {});
    return applied;
  }

  async #applyNat(): Promise<void> {
    const { nat, natDeny, uwsgiRouters } = this.#config();
    if (nat === 'off') return dropNat(this.#run, this.#device);
    const { cidr4, cidr6 } = this.#cidrs;
    const devices = this.#devices();
    const need = { ipv4: cidr4 !== null, ipv6: cidr6 !== null, devices };
    const changed = await enableForwarding(this.#run, need);
    if (changed.length > 0) this.#log.info({ changed }, 'forwarding was switched on');
    const all = [cidr4, cidr6, ...uwsgiRouters.map(({ address }) => address)];
    await putNat(this.#run, {
      device: this.#device,
      otherDevices: devices.slice(1),
      pools: all.filter((cidr) => cidr !== null).map(networkOf),
      uplink: nat === 'auto' ? nat : { device: nat.device },
      deny: natDeny,
    });
  }

  /** Sets up the devices of uWSGI's own vassals, which are there. Throws as prepare(). */
  async prepareUwsgi(): Promise<void> {
    for (const { device, address: cidr4 } of this.#config().uwsgiRouters) {
      await this.#refuseOverlap({ 'tuntap-router-uwsgi': cidr4 });
      await setUpHostDevice(this.#run, { device, cidr4, cidr6: null });
    }
  }

  /** The router goes for good. */
  async drop(): Promise<void> {
    await dropNat(this.#run, this.#device);
  }

  #devices(): readonly string[] {
    return [this.#device, ...this.#config().uwsgiRouters.map(({ device }) => device)];
  }

  /** By option. */
  async #refuseOverlap(cidrs: Readonly<Record<string, Cidr | null>>): Promise<void> {
    const routes = await readHostRoutes(this.#run);
    for (const [option, cidr] of Object.entries(cidrs)) {
      const network = cidr && networkOf(cidr);
      const route = network && overlapWith(network, { routes, devices: this.#devices() });
      if (route) throw new EmperorError('conflict', overlapText(option, network, route));
    }
  }
}
