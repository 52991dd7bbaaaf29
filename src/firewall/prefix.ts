/** Networks and addresses with a mask: `192.168.0.0/24`, `fd00::1/64`. Pure. */

import { type Fault, faultAt, shown, type Word } from '../base/fault.ts';
import { type Address, bitsOf, type Family, parseAddress, printAddress } from './address.ts';

/** A network: no bit is set beyond the mask. */
export interface Prefix extends Address {
  /** Bits of the mask, 0-32 or 0-128. */
  readonly length: number;
}

/** An address and the network that it is in, as an interface has it. */
export interface Cidr {
  readonly address: Address;
  /** Bits of the mask, 0-32 or 0-128. */
  readonly length: number;
}

export interface ReadCidr extends Cidr {
  /** False where no `/MASK` was written, and one address is meant. */
  readonly hasMask: boolean;
}

/** Every address of the family. */
export function anyOf(family: Family): Prefix {
  return { family, words: family === 4 ? [0] : [0, 0, 0, 0], length: 0 };
}

/** Returns the network of `length` bits that `address` is in. */
export function networkOf({ address: { family, words }, length }: Cidr): Prefix {
  const masked = words.map((word, index) => (word & maskWord(length, index)) >>> 0);
  return { family, words: masked, length };
}

export function contains(prefix: Prefix, { family, words }: Address): boolean {
  if (prefix.family !== family) return false;
  for (let index = 0; index * 32 < prefix.length; index += 1) {
    const difference = (prefix.words[index] ?? 0) ^ (words[index] ?? 0);
    if ((difference & maskWord(prefix.length, index)) !== 0) return false;
  }
  return true;
}

/** Returns the last address of the network. */
export function lastOf({ family, words, length }: Prefix): Address {
  return { family, words: words.map((word, index) => (word | ~maskWord(length, index)) >>> 0) };
}

/** True if there is any address that is in both. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.length < b.length ? contains(a, b) : contains(b, a);
}

/** Returns the network that a rule means: as in uWSGI, what is 0 under its mask is any address. */
export function meantBy(cidr: Cidr): Prefix {
  const network = networkOf(cidr);
  return network.words.every((word) => word === 0) ? anyOf(network.family) : network;
}

/** The text of what meantBy() returns: an address alone is one host, or any. */
export function printMeant(meant: Prefix): string {
  const isPlain = meant.length === 0 || meant.length === bitsOf(meant.family);
  return isPlain ? printAddress(meant) : printPrefix(meant);
}

/** Returns a warning where a rule means more than what `word` says. */
export function widening(word: Word, cidr: ReadCidr): Fault | undefined {
  const meant = meantBy(cidr);
  const isMasked = cidr.address.words.some((bits, index) => bits !== meant.words[index]);
  const isAny = cidr.hasMask && meant.length < cidr.length;
  if (!isMasked && !isAny) return undefined;
  const plain = printMeant(meant);
  const state = meant.length === 0 ? 'any address' : `the network \`${plain}\``;
  return faultAt(word, `\`${shown(word)}\` means ${state}`, `write \`${plain}\`, or mend it`);
}

/** The bits of a mask of `length` in the word at `index`. */
function maskWord(length: number, index: number): number {
  const bits = Math.min(Math.max(length - 32 * index, 0), 32);
  // Shifts count modulo 32, so that a shift by all bits would shift by none.
  return bits === 0 ? 0 : -1 << (32 - bits);
}

/** Reads `ADDRESS[/MASK]`, the mask in bits; a missing mask means one address. */
export function parseCidr(word: Word): ReadCidr | { readonly fault: Fault } {
  const slash = word.text.indexOf('/');
  const host = slash < 0 ? word : { ...word, text: word.text.slice(0, slash) };
  const address = parseAddress(host.text);
  if (!address) return { fault: addressFault(host) };
  const bits = bitsOf(address.family);
  if (slash < 0) return { address, length: bits, hasMask: false };
  const mask = { text: word.text.slice(slash + 1), offset: word.offset + slash + 1 };
  if (/^(0|[1-9]\d{0,2})$/.test(mask.text) && Number(mask.text) <= bits) {
    return { address, length: Number(mask.text), hasMask: true };
  }
  const message = `\`/${shown(mask)}\` is no mask of an IPv${address.family} address`;
  const hint = `write the number of its bits, from 0 to ${bits}, such as \`/${bits === 32 ? 24 : 64}\``;
  return { fault: faultAt({ text: `/${mask.text}`, offset: mask.offset - 1 }, message, hint) };
}

function addressFault(word: Word): Fault {
  const message =
    word.text === '' ? 'there is no address' : `\`${shown(word)}\` is no IPv4 or IPv6 address`;
  return faultAt(word, message, 'write one such as `192.168.0.2` or `fd00::2`');
}

export function printCidr({ address, length }: Cidr): string {
  return `${printAddress(address)}/${length}`;
}

export function printPrefix(prefix: Prefix): string {
  return printCidr({ address: prefix, length: prefix.length });
}
