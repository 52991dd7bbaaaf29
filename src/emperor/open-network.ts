/** Puts the network of one emperor together; null where emperor.ini names no `tuntap-router`. */
import { join } from 'node:path';
import type { Scope } from '../base/scope.ts';
import { AddressBook } from '../network/address-book.ts';
import { isAtRest } from '../vassal/state.ts';
import { HostNetwork } from './host-network.ts';
import type { Realm } from './realm.ts';
import { VassalNetwork } from './vassal-network.ts';

/** Starts or finds the router, and sets up the host's side. Throws what keeps the network from being. */
export async function openNetwork(realm: Realm, scope: Scope): Promise<VassalNetwork | null> {
  const { router, routerAddress, routerAddress6, stateDirectory, runDirectory, logDirectory } =
    realm.config;
  if (router === null) return null;
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
        initSocketOf: (name) => join(realm.vassalHost.runDirectory, name, 'init.sock'),
      },
      { device, runDirectory, stateDirectory, logDirectory, isPlain: false },
    ),
    (open) => open.close(),
  );
}
