/** Addresses as tests write them: as text. */
import { type Address, parseAddress, printAddress } from '../../src/firewall/address.ts';
import { type Cidr, parseCidr } from '../../src/firewall/prefix.ts';
import type { Addresses } from '../../src/network/address-pool.ts';

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`${text} is no address`);
  return parsed;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr({ text, offset: 0 });
  if ('fault' in parsed) throw new Error(parsed.fault.message);
  return parsed;
}

/** Of each text the address of its family. */
export function addresses(...texts: readonly string[]): Addresses {
  const parsed = texts.map(address);
  return {
    address: parsed.find(({ family }) => family === 4) ?? null,
    address6: parsed.find(({ family }) => family === 6) ?? null,
  };
}

/** What addresses() takes. */
export function textsOf({ address, address6 }: Addresses): readonly string[] {
  return [address, address6].flatMap((each) => (each ? [printAddress(each)] : []));
}
