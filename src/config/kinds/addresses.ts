/** Kinds of addresses: one that a vassal has, and the host's with the network that vassals are in. */
import { type Address, type Family, printAddress } from '../../firewall/address.ts';
import {
  type Cidr,
  contains,
  lastOf,
  networkOf,
  type Prefix,
  parseCidr,
  printCidr,
} from '../../firewall/prefix.ts';
import { type Fault, type Kind, unlike } from './kind.ts';

/** What a part of a value says, or what is wrong with it. */
export type Part<T> = { readonly value: T } | { readonly fault: Fault };

interface Text {
  readonly text: string;
  /** Index into the value. */
  readonly offset: number;
}

const EXAMPLES = {
  4: { cidr: '192.168.0.1/24', address: '192.168.0.2' },
  6: { cidr: 'fd00:1::1/64', address: 'fd00:1::2' },
} as const;

/** A network of vassals has more than the host's address, and is no large part of all addresses. */
const MASKS = { 4: { min: 8, max: 30 }, 6: { min: 8, max: 126 } } as const;

/** Not of hosts on a network: "this network", loopback, multicast and reserved; unspecified, mapped, link-local. */
const RESERVED = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/8', 'fe80::/10', 'ff00::/8'].map(
  (text) => ({ text, network: prefixOf(text) }),
);

/** The host's own address and, by its mask, the network that vassals have theirs in. */
export function hostCidr(family: Family): Kind<Cidr> {
  return {
    name: `IPv${family} network`,
    expects: `the host's own IPv${family} address and the mask of the network, such as \`${EXAMPLES[family].cidr}\``,
    schema: { pattern: '^\\S+/[0-9]+$' },
    parse(text) {
      return text === '' ? unlike(text, this) : readHostCidr({ text, offset: 0 }, family);
    },
    print: printCidr,
  };
}

/** One address that a vassal can have. */
export function hostAddress(family: Family): Kind<Address> {
  return {
    name: `IPv${family} address`,
    expects: `an IPv${family} address without a mask, such as \`${EXAMPLES[family].address}\``,
    schema: { pattern: '^[0-9A-Fa-f.:]+$' },
    parse(text) {
      if (text === '') return unlike(text, this);
      const cidr = parseCidr({ text, offset: 0 });
      if ('fault' in cidr) return cidr;
      const fault = (message: string, hint: string, offset = 0) => ({
        fault: { message, hint, offset },
      });
      if (cidr.hasMask) {
        const hint = "leave it out: the mask is that of the router's network";
        return fault(`\`${text}\` has a mask`, hint, text.indexOf('/'));
      }
      if (cidr.address.family !== family) {
        return fault(`\`${text}\` is no IPv${family} address`, `it takes ${this.expects}`);
      }
      const reserved = reservedFault(cidr.address, 0);
      return reserved ? { fault: reserved } : { value: cidr.address };
    },
    print: printAddress,
  };
}

/** Reads a hostCidr() as part of a value. */
export function readHostCidr(word: Text, family: Family): Part<Cidr> {
  const cidr = parseCidr(word);
  if ('fault' in cidr) return cidr;
  const { address, length, hasMask } = cidr;
  const { min, max } = MASKS[family];
  const refuse = (message: string) => {
    const hint = `write the host's own address and the mask, such as \`${EXAMPLES[family].cidr}\``;
    return { fault: { message, hint, offset: word.offset } };
  };
  if (address.family !== family) return refuse(`\`${word.text}\` is no IPv${family} network`);
  if (!hasMask) return refuse(`\`${word.text}\` has no mask`);
  if (length < min || length > max) {
    return refuse(`the mask \`/${length}\` is not from \`/${min}\` to \`/${max}\``);
  }
  const edge = edgeOf(address, networkOf(cidr));
  if (edge !== undefined) return refuse(`\`${printAddress(address)}\` is ${edge}`);
  const reserved = reservedFault(address, word.offset);
  return reserved ? { fault: reserved } : { value: { address, length } };
}

/** Returns what keeps an address of `network` from being a host's; undefined if nothing does. */
export function edgeOf({ words }: Address, network: Prefix): string | undefined {
  const is = (edge: Address) => edge.words.every((word, index) => word === words[index]);
  if (is(network)) return 'the address of the network itself';
  // IPv6 has no broadcast.
  return network.family === 4 && is(lastOf(network)) ? 'the broadcast address' : undefined;
}

/** Returns the network that keeps an address from being any host's; undefined if none does. */
export function reservedNetworkOf(address: Address): string | undefined {
  return RESERVED.find(({ network }) => contains(network, address))?.text;
}

function reservedFault(address: Address, offset: number): Fault | undefined {
  const network = reservedNetworkOf(address);
  if (network === undefined) return undefined;
  const message = `\`${printAddress(address)}\` is in ${network}, where no host can have an address`;
  const hint = `take a private one, such as \`${EXAMPLES[address.family].address}\``;
  return { message, hint, offset };
}

function prefixOf(text: string): Prefix {
  const cidr = parseCidr({ text, offset: 0 });
  if ('fault' in cidr) throw new Error(cidr.fault.message);
  return networkOf(cidr);
}
