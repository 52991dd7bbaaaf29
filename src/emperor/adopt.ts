/**
 * What an earlier emperor left: finds every init that runs, keeps those that passed their gate and ends
 * everything else, so that there is never a second copy of a vassal.
 *
 * Theory. Three witnesses are asked: run-dir/vassals/NAME (an init listens there), the launcher's list of
 * children, and the cgroups. An init that answers and is past its gate is adopted. One that stands at its
 * gate, does not answer or has no socket yet was being started when the emperor died: it has run no tenant
 * instruction and is ended. A directory or cgroup without an init is swept up. The pid comes from the
 * kernel (SO_PEERCRED of init.sock), not from anything the init says, and its start time is compared.
 */
import { readdirSync } from 'node:fs';
import { messageOf } from '../base/errors.ts';
import { inParallel } from '../base/semaphore.ts';
import type { InitClient, Welcome } from '../jail/init-client.ts';
import { readStartTime } from '../linux/proc.ts';
import { connectInit, Jail, type JailHost, removeRemains } from '../vassal/jail.ts';

export interface Found {
  readonly name: string;
  readonly jail: Jail;
  readonly welcome: Welcome;
}

interface Peer {
  readonly init: InitClient;
  readonly welcome: Welcome;
}

/** How many inits are asked, or taken over, at once. */
export const ADOPTED_AT_ONCE = 64;

/** Returns the jails that run and are past their gate; ends and removes what is neither. */
export async function findJails(host: JailHost): Promise<readonly Found[]> {
  const children = await host.launcher().list();
  const names = new Set([
    ...readdirSync(host.runDirectory),
    ...host.membership.names(),
    ...children.filter((child) => child.state !== 'ended').map((child) => child.name),
  ]);
  const nameOf = new Map(children.map(({ pid, name }) => [pid, name]));
  const found = await inParallel(names, ADOPTED_AT_ONCE, (name) => findJail(host, name, nameOf));
  await Promise.all(
    children.filter((child) => child.state === 'ended').map(({ pid }) => host.launcher().ack(pid)),
  );
  return found.filter((jail) => jail !== undefined);
}

async function findJail(
  host: JailHost,
  name: string,
  nameOf: ReadonlyMap<number, string>,
): Promise<Found | undefined> {
  const peer = await connect(host, name);
  if (!peer) return sweep(host, name);
  const jail = takeOver(host, name, peer);
  if (!jail) return sweep(host, name);
  const { pid } = jail;
  if (peer.welcome.state === 'gate' || peer.welcome.name !== name) {
    host.log.info({ vassal: name, pid }, 'ends a start that was interrupted');
    await jail.kill();
    return undefined;
  }
  if (nameOf.get(pid) !== name)
    host.log.info({ vassal: name, pid }, 'adopts an init of an earlier launcher');
  return { name, jail, welcome: peer.welcome };
}

/** Undefined where the init has ended since it answered. */
function takeOver(host: JailHost, name: string, peer: Peer): Jail | undefined {
  try {
    const pid = peer.init.peerPid();
    const startTime = BigInt(readStartTime(pid) ?? 0);
    return Jail.adopt(host, { name, pid, startTime, ...peer });
  } catch (error) {
    host.log.info({ vassal: name, error: messageOf(error) }, 'its init ended meanwhile');
    peer.init.close();
    return undefined;
  }
}

async function connect(host: JailHost, name: string): Promise<Peer | undefined> {
  try {
    return await connectInit(host, name);
  } catch (error) {
    host.log.debug({ vassal: name, error: messageOf(error) }, 'no init answers');
    return undefined;
  }
}

async function sweep(host: JailHost, name: string): Promise<undefined> {
  host.log.info({ vassal: name }, 'removes what an interrupted start or stop left');
  await removeRemains(host, name);
  return undefined;
}
