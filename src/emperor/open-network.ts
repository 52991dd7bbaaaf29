/** Puts the network of one emperor together; null where emperor.ini names no `tuntap-router`. */
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import type { Scope } from '../base/scope.ts';
import { effectiveCapabilities, missingCapabilities } from '../linux/capabilities.ts';
import { AddressBook } from '../network/address-book.ts';
import { isAtRest } from '../vassal/state.ts';
import { HostNetwork } from './host-network.ts';
import type { Realm } from './realm.ts';
import { VassalNetwork } from './vassal-network.ts';

/**
 * Starts or finds the router, and sets up the host's side. Where this machine has no tun devices for us, vassals run
 * without a network, and a condition says so.
 */
export async function openNetwork(realm: Realm, scope: Scope): Promise<VassalNetwork | null> {
  const { router, routerAddress, routerAddress6, stateDirectory, runDirectory, logDirectory } =
    realm.config;
  if (router === null) return null;
  const trouble = whyNoTun();
  realm.note({ kind: 'no-tun', message: trouble ?? '', isActive: trouble !== null });
  if (trouble !== null) return null;
  const { clock, log } = realm.vassalHost;
  const { device } = router;
  const config = () => realm.config;
  const host = new HostNetwork({ device, config, clock, log });
  const book = scope.add(
    new AddressBook({
      stateDirectory,
      cidr4: routerAddress,
      cidr6: routerAddress6,
      isRunning: (name) => {
        const vassal = realm.vassals.get(name);
        return vassal !== undefined && !isAtRest(vassal.state);
      },
      wishOf: (name) => realm.wantedConfig(name),
      writeDown: (write) => realm.writeDown(write),
    }),
    (open) => open.close(),
  );
  return scope.add(
    await VassalNetwork.open(
      {
        ...{ clock, log, config, book, host },
        onTrouble: (part, message) =>
          realm.note({
            kind: part,
            message: message === null ? '' : `${LOST[part]}: ${message}`,
            isActive: message !== null,
          }),
        initSocketOf: (name) => join(realm.vassalHost.runDirectory, name, 'init.sock'),
      },
      { device, runDirectory, stateDirectory, logDirectory },
    ),
    (open) => open.close(),
  );
}

const LOST = {
  router: 'Vassals have no network',
  nat: 'Vassals do not reach the world',
  uwsgi: 'uWSGI vassals have no router',
} as const;

/** Why there cannot be a router; null where nothing speaks against it. */
function whyNoTun(): string | null {
  const missing = missingCapabilities(effectiveCapabilities(), ['net_admin']);
  if (missing.length > 0) return 'Vassals have no network but loopback: CAP_NET_ADMIN is missing';
  try {
    closeSync(openSync('/dev/net/tun', constants.O_RDWR));
    return null;
  } catch (error) {
    return `Vassals have no network but loopback: ${messageOf(error)}; load the module tun`;
  }
}
