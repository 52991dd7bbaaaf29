/**
 * What the router reads of a packet: version, lengths and addresses, at fixed places of the IP header. Whatever
 * else is in it is the business of the two ends, so fragments and unknown protocols get the verdict of the whole.
 */

/** The largest packet of either family, with room for IPv6's own header. */
export const MAX_PACKET_BYTES = 65_535 + 40;

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;

export const SOURCE4 = 12;
export const DESTINATION4 = 16;
export const SOURCE6 = 8;
export const DESTINATION6 = 24;

/** The 4 bytes at `at`, in network order, as an unsigned number. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

/**
 * Whether a word of IPv4 is an address that a packet may be sent to: not `this network` and the host's own loopback
 * (0.0.0.0/8 and 127.0.0.0/8), which a host whose route_localnet is on, as kube-proxy's is, would take for its own; not
 * multicast, reserved or broadcast (224.0.0.0 and above).
 */
export function isUnicast4(word: number): boolean {
  const first = word >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/**
 * The same for IPv6: no multicast (ff00::/8), no link-local (fe80::/10), and none of ::/96 and ::ffff:0:0/96, which are
 * no address, the loopback, and IPv4 in the dress of IPv6.
 */
export function isUnicast6(a: number, b: number, c: number): boolean {
  if (a >= 0xff000000 || (a & 0xffc00000) >>> 0 === 0xfe800000) return false;
  return a !== 0 || b !== 0 || (c !== 0 && c !== 0xffff);
}

const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_LOOSE_ROUTE = 131;
const OPTION_STRICT_ROUTE = 137;

/**
 * Whether the IPv4 packet at `at` says by which way it wants to go (RFC 791, LSRR and SSRR): it would be judged by its next
 * stop and sent on to another by a host that obeys. Options that are cut off or have no length count as that, too.
 */
export function hasSourceRoute(bytes: Uint8Array, at: number): boolean {
  const end = at + ((bytes[at] as number) & 15) * 4;
  for (let option = at + IPV4_HEADER_BYTES; option < end; ) {
    const kind = bytes[option] as number;
    if (kind === OPTION_END) return false;
    if (kind === OPTION_LOOSE_ROUTE || kind === OPTION_STRICT_ROUTE) return true;
    const length =
      kind === OPTION_NOTHING ? 1 : option + 1 < end ? (bytes[option + 1] as number) : 0;
    if (length < (kind === OPTION_NOTHING ? 1 : 2)) return true;
    option += length;
  }
  return false;
}

function halfAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/**
 * Returns 4 or 6 if the `length` bytes at `at` are one whole packet of that family, 0 if they are none: another
 * version, a header that is cut off, or a length that is not that of what is there (RFC 791, RFC 8200).
 */
export function familyOf(bytes: Uint8Array, at: number, length: number): 0 | 4 | 6 {
  if (length < IPV4_HEADER_BYTES) return 0;
  const first = bytes[at] as number;
  const version = first >> 4;
  if (version === 4) {
    const headerBytes = (first & 15) * 4;
    if (headerBytes < IPV4_HEADER_BYTES || headerBytes > length) return 0;
    return halfAt(bytes, at + 2) === length ? 4 : 0;
  }
  if (version !== 6 || length < IPV6_HEADER_BYTES) return 0;
  return halfAt(bytes, at + 4) + IPV6_HEADER_BYTES === length ? 6 : 0;
}
