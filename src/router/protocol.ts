/**
 * What the emperor says to the router over router.sock: one JSON object a line, each answered by one line with the
 * same id. The socket is root's alone; both sides are of one version, or the emperor starts a new router.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { Packet } from '../firewall/chain.ts';
import type { ChainName, DeviceRule } from '../firewall/rule.ts';
import type { Traffic } from './counters.ts';
import type { Denials } from './gates.ts';
import type { Firewall, PeerSpec, Verdict } from './router.ts';
import type { SelfTest } from './self-test.ts';
import type { UwsgiDevice, UwsgiReport } from './uwsgi-service.ts';

/** Bumped whenever a word below changes its meaning. */
export const ROUTER_PROTOCOL = 3;

export interface RouterWelcome {
  readonly protocol: number;
  readonly pid: number;
  readonly device: string;
  /** True from the device's creation until `settled`. */
  readonly isNewDevice: boolean;
  /** As the emperor that started it has said. */
  readonly code: string;
  /** Why totals are not kept in a file; null where they are. */
  readonly ledgerFault: string | null;
}

export interface AttachRequest extends PeerSpec {
  /** Path of the vassal's init.sock, from which its tun is fetched. */
  readonly init: string;
}

export interface PeerReport extends PeerSpec {
  /** Why its device is no more; null while it is there. */
  readonly gone: string | null;
}

/** The process itself. */
export interface RouterAbout {
  readonly pid: number;
  readonly device: string;
  readonly packets: SelfTest;
  readonly memoryBytes: number;
  readonly cpuSeconds: number;
}

export interface RouterStatus extends RouterAbout {
  /** By name; the host's under HOST_ROW. */
  readonly traffic: Readonly<Record<string, Traffic>>;
  /** Totals by rule, also of rules that are no more. */
  readonly denials: readonly Denials[];
  readonly uwsgi: readonly UwsgiReport[];
}

/** Name → what is asked and what is answered. */
export interface RouterCalls {
  readonly hello: { ask: null; answer: RouterWelcome };
  /** The device is up, and what is to be done once for a new one has been done: finds out how packets go. */
  readonly settled: { ask: null; answer: SelfTest };
  /** The launcher is another one, and does not have the device's descriptor yet. */
  readonly keep: { ask: null; answer: null };
  readonly firewall: { ask: Firewall; answer: null };
  /** Serves unmodified uWSGI vassals by these devices and no others. */
  readonly uwsgi: { ask: readonly UwsgiDevice[]; answer: null };
  readonly attach: { ask: AttachRequest; answer: null };
  /** All whose inits answer at once are attached: packets, which have waited in the devices, are forwarded. */
  readonly begin: { ask: null; answer: null };
  readonly rules: { ask: { name: string; rules: readonly DeviceRule[] }; answer: null };
  readonly detach: { ask: { name: string }; answer: null };
  readonly forget: { ask: { name: string }; answer: null };
  readonly peers: { ask: null; answer: readonly PeerReport[] };
  readonly about: { ask: null; answer: RouterAbout };
  readonly status: { ask: null; answer: RouterStatus };
  /** Totals of one vassal. */
  readonly traffic: { ask: { name: string }; answer: Traffic };
  readonly judge: {
    ask: readonly { readonly chain: ChainName; readonly packet: Packet }[];
    answer: readonly Verdict[];
  };
  /** Ends the router; `andDevice`: the host's device goes, too. */
  readonly end: { ask: { andDevice: boolean }; answer: null };
}
export type RouterCall = keyof RouterCalls;

export interface RouterRequest {
  readonly id: number;
  readonly call: RouterCall;
  readonly ask: unknown;
}

export type RouterResponse =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };
