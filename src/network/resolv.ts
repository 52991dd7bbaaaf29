/** Name servers of the host, for vassals that name none: those of resolv.conf(5) that can be reached from a vassal. */
import { readFileSync, statSync } from 'node:fs';
import { isErrno } from '../base/errors.ts';
import { reservedNetworkOf } from '../config/kinds/addresses.ts';
import { parseAddress } from '../firewall/address.ts';

/** systemd-resolved listens at 127.0.0.53 and writes down there which servers it asks (systemd-resolved(8)). */
const FILES = { own: '/etc/resolv.conf', upstream: '/run/systemd/resolve/resolv.conf' } as const;

export interface NameServers {
  /** Those that the host asks: for a vassal that shares the host's network. */
  readonly own: readonly string[];
  /** Those that a vassal with a network of its own can ask: no loopback and no link-local ones. */
  readonly reachable: readonly string[];
}

/** Reads them anew only where the file was changed: this is asked at each start of a vassal. */
export function hostNameServers(files: { own: string; upstream: string } = FILES): NameServers {
  const signature = `${lookOf(files.own)} ${lookOf(files.upstream)}`;
  if (known?.signature !== signature) {
    const value = nameServersOf({ own: textOf(files.own), upstream: textOf(files.upstream) });
    known = { signature, value };
  }
  return known.value;
}

let known: { readonly signature: string; readonly value: NameServers } | undefined;

/** `upstream` counts only where none of `own` can be reached. Pure. */
export function nameServersOf(texts: {
  readonly own: string;
  readonly upstream: string;
}): NameServers {
  const own = serversIn(texts.own);
  const reachable = own.filter(isReachable);
  if (reachable.length > 0) return { own, reachable };
  return { own, reachable: serversIn(texts.upstream).filter(isReachable) };
}

/** Every server once. */
function serversIn(text: string): readonly string[] {
  const found = [...text.matchAll(/^nameserver[ \t]+(\S+)/gm)].flatMap(
    ([, server]) => server ?? [],
  );
  return [...new Set(found)];
}

/** Addresses with a zone (`fe80::1%eth0`) mean a device that a vassal does not have. */
function isReachable(server: string): boolean {
  const address = parseAddress(server);
  return address !== undefined && reservedNetworkOf(address) === undefined;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return '';
    throw error;
  }
}

function lookOf(file: string): string {
  try {
    const { dev, ino, size, mtimeMs } = statSync(file);
    return `${file}:${dev}:${ino}:${size}:${mtimeMs}`;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return file;
    throw error;
  }
}
