/** What operators and panels ask about the network: answered from the realm and by the router. */
import { EmperorError } from '../base/errors.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import type { Vassal } from '../vassal/vassal.ts';
import { answersOf, askedBy } from './firewall-questions.ts';
import type { FirewallAnswer, NetworkStatus, VassalNetworkStatus } from './governor.ts';
import { networkStatusOf, routerStatsOf, vassalNetworkOf } from './network-report.ts';
import type { Realm } from './realm.ts';

export class NetworkQuestions {
  readonly #realm: Realm;

  constructor(realm: Realm) {
    this.#realm = realm;
  }

  /** Null without a network. */
  async status(): Promise<NetworkStatus | null> {
    const { network, config, surroundings, vassals } = this.#realm;
    if (!network) return null;
    const { status, isNow } = await network.looks.look();
    return networkStatusOf({
      config,
      router: routerStatsOf(network.device, isNow ? status : null),
      status,
      cidrs: network.cidrs,
      pools: network.pools,
      dns: surroundings.dnsOf(null),
      members: [...vassals.values()].flatMap((vassal) => {
        const { name, state } = vassal;
        const own = configOf(vassal);
        if (!own?.device) return [];
        return [{ name, state, rules: own.deviceRules, ...network.addressesOf(name) }];
      }),
      addressesOf: (name) => network.addressesOf(name),
    });
  }

  async statusOf(vassal: Vassal): Promise<VassalNetworkStatus> {
    const { network, surroundings } = this.#realm;
    const { name } = vassal;
    const config = configOf(vassal);
    return vassalNetworkOf({
      name,
      config: network ? config : undefined,
      isAttached: network?.isAttached(name) ?? false,
      addresses: network?.addressesOf(name) ?? { address: null, address6: null },
      cidrs: network?.cidrs ?? { cidr4: null, cidr6: null },
      dns: surroundings.dnsOf(config ?? null),
      status: (await network?.looks.look())?.status ?? null,
    });
  }

  /** Throws `not-supported` without a network, `not-reachable` while there is no router. */
  async checkFirewall(lines: readonly string[]): Promise<readonly FirewallAnswer[]> {
    const { network } = this.#realm;
    const verb = 'Cannot ask the firewall';
    if (!network) {
      const why = 'there is no network; `tuntap-router` of emperor.ini makes one';
      throw new EmperorError('not-supported', `${verb}: ${why}`);
    }
    const { router } = network;
    if (!router) throw new EmperorError('not-reachable', `${verb}: the router is being started`);
    const asked = lines.map((line) =>
      askedBy(line, {
        addressesOf: (name) => (this.#realm.knows(name) ? network.addressesOf(name) : undefined),
        isOfVassals: (address) => network.isOfVassals(address),
      }),
    );
    const questions = asked.flatMap((one) => ('error' in one ? [] : one));
    const verdicts = questions.length === 0 ? [] : await router.call('judge', questions);
    return answersOf(asked, verdicts);
  }
}

/** What it runs with, else what it would run with. */
export function configOf({ applied, wanted }: Vassal): VassalConfig | undefined {
  return applied?.config ?? wanted?.config;
}
