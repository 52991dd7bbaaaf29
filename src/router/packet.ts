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
