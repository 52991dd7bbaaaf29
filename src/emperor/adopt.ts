/**
 * What an earlier emperor left: finds every init that runs, keeps those that passed their gate and ends
 * everything else, so that there is never a second copy of a vassal.
 *
 * Theory. Three witnesses are asked: run-dir/vassals/NAME (an init listens there), the launcher's list of
 * children, and the cgroups. An init that answers and is past its gate is adopted. One that stands at its
 * gate, does not answer or has no socket yet was being started when the emperor died: it has run no tenant
 * instruction and is ended. A directory or cgroup without an init is swept up. The pid comes from the
 * kernel (SO_PEERCRED of init.sock), not from anything the init says.
 *
 * Whatever has become of run-dir, no other process gets a signal: who answers must be in the cgroup of that vassal's
 * init or the launcher's child of that name, must call itself by it, and must have begun when it says it did (the
 * socket may be held by a child of who made it, whose number is somebody else's by now). Who is not, is left alone; what
 * is in the vassal's cgroup is ended, since nobody can speak to it.
 */
import { readdirSync } from 'node:fs';
import { messageOf } from '../base/errors.ts';
import { inParallel } from '../base/semaphore.ts';
import { isInitOf } from '../cgroup/membership.ts';
import type { InitClient, Welcome } from '../jail/init-client.ts';
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
  // The number of one that has ended may be somebody else's.
  const living = children.filter((child) => child.state !== 'ended');
  const names = new Set([
    ...readdirSync(host.runDirectory),
    ...host.membership.names(),
    ...living.map((child) => child.name),
  ]);
  const launched = new Set(living.map(({ pid, name }) => `${pid} ${name}`));
  const found = await inParallel(names, ADOPTED_AT_ONCE, (name) => findJail(host, name, launched));
  await Promise.all(
    children.filter((child) => child.state === 'ended').map(({ pid }) => host.launcher().ack(pid)),
  );
  return found.filter((jail) => jail !== undefined);
}

async function findJail(
  host: JailHost,
  name: string,
  launched: ReadonlySet<string>,
): Promise<Found | undefined> {
  const peer = await connect(host, name);
  if (!peer) return sweep(host, name);
  const isChild = (pid: number) => launched.has(`${pid} ${name}`);
  const jail = takeOver(host, { name, peer, isChild });
  if (!jail) return sweep(host, name);
  const { pid } = jail;
  if (peer.welcome.state === 'gate') {
    host.log.info({ vassal: name, pid }, 'ends a start that was interrupted');
    await jail.kill();
    return undefined;
  }
  if (!isChild(pid)) host.log.info({ vassal: name, pid }, 'adopts an init of an earlier launcher');
  return { name, jail, welcome: peer.welcome };
}

interface Answered {
  readonly name: string;
  readonly peer: Peer;
  readonly isChild: (pid: number) => boolean;
}

/** Undefined where the init has ended since it answered, or another process did. */
function takeOver(host: JailHost, { name, peer, isChild }: Answered): Jail | undefined {
  try {
    const pid = peer.init.peerPid();
    const isItsInit = peer.welcome.name === name && (isChild(pid) || isInitOf(name, pid));
    if (!isItsInit) throw new Error(`process ${pid}, which answers there, is not its init`);
    return Jail.adopt(host, { name, pid, ...peer });
  } catch (error) {
    host.log.warn({ vassal: name, error: messageOf(error) }, 'has no init that can be adopted');
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
