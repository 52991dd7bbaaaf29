/** What no key of the network can tell alone: whether the router, a vassal and their rules go together. Pure. */
import { type Address, isSameAddress, printAddress } from '../firewall/address.ts';
import type { Chain } from '../firewall/chain.ts';
import {
  type Cidr,
  contains,
  networkOf,
  overlaps,
  printCidr,
  printPrefix,
} from '../firewall/prefix.ts';
import type { Rule } from '../firewall/rule.ts';
import type { Place } from './diagnose.ts';
import type { EmperorConfig } from './emperor-config.ts';
import { type JudgeSource, placeOf, refuse } from './judge.ts';
import { edgeOf } from './kinds/addresses.ts';
import type { RouterDevice } from './kinds/devices.ts';
import { EMPEROR_OPTIONS, type EmperorFields } from './options/emperor.ts';
import type { Option } from './options/option.ts';
import { VASSAL_OPTIONS, type VassalFields } from './options/vassal.ts';
import { routerChains } from './router-chains.ts';

/** Warns of lines whose keys mean nothing without the one that `missing` names. */
function noteIdle(source: JudgeSource, options: readonly Option[], missing: Option): void {
  const names = options.map(({ name }) => name);
  for (const { key, keyPlace } of source.lines.filter((line) => names.includes(line.key))) {
    source.findings.warning(keyPlace, {
      code: 'has-no-effect',
      message: `This line changes nothing: there is no \`${missing.name}\``,
      hint: `add a line such as \`${missing.name} = ${missing.example}\`, or leave \`${key}\` out`,
    });
  }
}

// ── the router ─────────────────────────────────────────────────────────────────────────────────

const OF_ROUTER: readonly Option[] = [
  EMPEROR_OPTIONS.routerAddress,
  EMPEROR_OPTIONS.routerAddress6,
  EMPEROR_OPTIONS.firewallIn,
  EMPEROR_OPTIONS.firewallOut,
  EMPEROR_OPTIONS.firewallPolicy,
  EMPEROR_OPTIONS.uwsgiRouters,
  EMPEROR_OPTIONS.nat,
  EMPEROR_OPTIONS.natDeny,
  EMPEROR_OPTIONS.execAsRoot,
];

/** Tells what is wrong with the emperor's own keys of the network. */
export function judgeRouter(config: EmperorFields, source: JudgeSource): void {
  if (!config.router) noteIdle(source, OF_ROUTER, EMPEROR_OPTIONS.router);
  else judgeDevices(config.router, config, source);
  if (!config.routerAddress6) return;
  const chains = routerChains(config);
  noteOpenFamily(chains.in, EMPEROR_OPTIONS.firewallIn, source);
  noteOpenFamily(chains.out, EMPEROR_OPTIONS.firewallOut, source);
}

interface Attached {
  readonly name: string;
  readonly router: RouterDevice;
  readonly address: Cidr | null;
}

/** Two routers share no device, socket or network. */
function judgeDevices(router: RouterDevice, config: EmperorFields, source: JudgeSource): void {
  const { routerAddress, uwsgiRouters, nat } = config;
  const before: Attached[] = [{ name: '`tuntap-router`', router, address: routerAddress }];
  for (const [index, uwsgi] of uwsgiRouters.entries()) {
    const attached = {
      name: `the router device ${uwsgi.device}`,
      router: uwsgi,
      address: uwsgi.address,
    };
    const place = placeOf(source, EMPEROR_OPTIONS.uwsgiRouters, index);
    for (const other of before) judgePair(attached, other, { source, place });
    before.push(attached);
  }
  const own = typeof nat === 'string' ? undefined : nat.device;
  if (!before.some(({ router: { device } }) => device === own)) return;
  refuse(source, placeOf(source, EMPEROR_OPTIONS.nat), [
    `Cannot use \`nat\`: ${own} is the device that leads to the vassals`,
    'name the one that leads out, or write `auto`',
  ]);
}

function judgePair(
  { router, address }: Attached,
  other: Attached,
  { source, place }: { readonly source: JudgeSource; readonly place: Place },
): void {
  const taken = (what: string) => `Cannot use \`tuntap-router-uwsgi\`: ${other.name} has ${what}`;
  if (router.device === other.router.device) {
    refuse(source, place, [taken(`the device ${router.device}, too`), 'choose another device']);
  }
  if (router.socket === other.router.socket) {
    refuse(source, place, [taken(`the socket ${router.socket}, too`), 'choose another socket']);
  }
  if (!address || !other.address) return;
  if (!overlaps(networkOf(address), networkOf(other.address))) return;
  const theirs = printPrefix(networkOf(other.address));
  refuse(source, place, [
    taken(`the network ${theirs}, which overlaps with ${printPrefix(networkOf(address))}`),
    'choose another network',
  ]);
}

/** A chain that was written for IPv4 lets all of IPv6 through; who turned IPv6 on must know. */
function noteOpenFamily({ rules, policy }: Chain, option: Option, source: JudgeSource): void {
  const denies = (family: 4 | 6) => (rule: Rule) =>
    rule.action === 'deny' && (rule.sides === null || rule.sides.src.family === family);
  const first = rules.findIndex(denies(4));
  if (first < 0 || policy === 'deny' || rules.some(denies(6))) return;
  source.findings.warning(placeOf(source, option, first), {
    code: 'open-family',
    message: `Mind \`${option.name}\`: it denies IPv4 packets only, and vassals have IPv6, too`,
    hint: 'add such rules for IPv6, or `tuntap-router-firewall-policy = deny`',
  });
}

// ── a vassal ───────────────────────────────────────────────────────────────────────────────────

const OF_DEVICE: readonly Option[] = [
  VASSAL_OPTIONS.address,
  VASSAL_OPTIONS.address6,
  VASSAL_OPTIONS.deviceRules,
];

/** Tells what of a vassal's network the emperor cannot give it. */
export function judgeVassalNetwork(
  vassal: VassalFields,
  emperor: EmperorConfig,
  source: JudgeSource,
): void {
  if (!vassal.device) {
    noteIdle(source, OF_DEVICE, VASSAL_OPTIONS.device);
    return;
  }
  const fault = attachFault(vassal.device.socket, emperor);
  if (fault) {
    const [message, hint] = fault;
    const place = placeOf(source, VASSAL_OPTIONS.device);
    source.findings.error(place, { code: 'no-router', message, hint });
    return;
  }
  judgeAddress(vassal.address, emperor.routerAddress, VASSAL_OPTIONS.address, source);
  judgeAddress6(vassal.address6, emperor.routerAddress6, source);
}

/** Why the device cannot be attached, and what to do. */
function attachFault(
  socket: string | null,
  { router, namespaces }: EmperorConfig,
): readonly [string, string] | undefined {
  if (!router) {
    return [
      'Cannot use `tuntap-device`: emperor.ini has no `tuntap-router`',
      `add a line such as \`tuntap-router = ${EMPEROR_OPTIONS.router.example}\` there`,
    ];
  }
  if (!namespaces.includes('net')) {
    return [
      "Cannot use `tuntap-device`: vassals are in the host's own network",
      'add `net` to `emperor-use-clone` in emperor.ini',
    ];
  }
  if (socket === null || inRun(socket) === inRun(router.socket)) return undefined;
  return [
    `Cannot use \`tuntap-device\`: the socket of \`tuntap-router\` is ${router.socket}`,
    'name that one, or none',
  ];
}

/** /var/run is a link to /run wherever systemd's conventions hold. */
function inRun(path: string): string {
  return path.replace(/^\/var\/run\//, '/run/');
}

function judgeAddress6(address: Address | null, host: Cidr | null, source: JudgeSource): void {
  if (address && !host) {
    source.findings.error(placeOf(source, VASSAL_OPTIONS.address6), {
      code: 'bad-address',
      message: 'Cannot use `address6`: emperor.ini has no `tuntap-router-address6`',
      hint: 'add it there, or leave `address6` out',
    });
  }
  judgeAddress(address, host, VASSAL_OPTIONS.address6, source);
}

/** An address is of the router's network, if that is known, and nobody else's. */
function judgeAddress(
  address: Address | null,
  host: Cidr | null,
  option: Option,
  source: JudgeSource,
): void {
  if (!address || !host) return;
  const state = stateIn(address, host);
  if (state === undefined) return;
  const range = printPrefix(networkOf(host));
  source.findings.error(placeOf(source, option), {
    code: 'bad-address',
    message: `Cannot use \`${option.name}\`: ${printAddress(address)} is ${state}`,
    hint: `take another of ${range}, or leave it out`,
  });
}

function stateIn(address: Address, host: Cidr): string | undefined {
  const network = networkOf(host);
  if (!contains(network, address)) return `outside of the router's network, ${printCidr(host)}`;
  if (isSameAddress(address, host.address)) return "the router's own address";
  return edgeOf(address, network);
}
