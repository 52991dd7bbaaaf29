/**
 * What the router of uWSGI vassals counts, in memory that its thread writes and the main thread reads: one row of
 * totals by reason, and a row for each connection. From the vassal's point of view: `rx` is what it received.
 */

/** Why a packet went no further, or a connection ended; the order is that of the columns. */
export const UWSGI_REASONS = [
  // packets
  'malformed', // no whole IP packet
  'ipv6',
  'outside', // a first packet whose source is not in the network
  'reserved', // … is the router's own address, or the network's
  'taken', // … is that of another connection
  'locked', // … is owned by another user
  'too-many-addresses', // … and its user owns enough
  'spoofed', // a later packet with another source
  'denied-out',
  'denied-in',
  'denied-by-own-rule', // by what a vassal laid upon itself
  'own-rule-route', // to a gateway of its own, which is not built
  'no-client', // to an address of the network that nobody has
  'not-unicast',
  'source-route', // it names the way that it wants to go
  'too-large', // beyond what uWSGI's buffers take
  'queue-full', // the receiver does not read
  'receiver-gone',
  'device-refused',
  // connections
  'ended',
  'failed',
  'empty-frame',
  'oversized-frame',
  'bad-rules',
  'too-many-clients',
  'too-many-of-user',
] as const;
export type UwsgiReason = (typeof UWSGI_REASONS)[number];

/** reason → its column in the row of totals. */
export const REASON_COLUMN = Object.fromEntries(
  UWSGI_REASONS.map((reason, column) => [reason, column]),
) as Readonly<Record<UwsgiReason, number>>;

export const MAX_CLIENTS = 4096;

export const CLIENT_COLUMN = {
  isConnected: 0,
  /** 0 before the first claim. */
  address: 1,
  uid: 2,
  pid: 3,
  rxPackets: 4,
  rxBytes: 5,
  txPackets: 6,
  txBytes: 7,
  dropped: 8,
} as const;
const CLIENT_COLUMNS = 9;

export interface UwsgiCounters {
  readonly reasons: Float64Array;
  readonly clients: Float64Array;
}

/** Makes counters that two threads share. */
export function sharedCounters(): UwsgiCounters {
  return {
    reasons: sharedNumbers(UWSGI_REASONS.length),
    clients: sharedNumbers(MAX_CLIENTS * CLIENT_COLUMNS),
  };
}

export function sharedNumbers(count: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(count * Float64Array.BYTES_PER_ELEMENT));
}

/** Where the row of a connection begins. */
export function rowOf(slot: number): number {
  return slot * CLIENT_COLUMNS;
}

export function clearRow(clients: Float64Array, slot: number): void {
  clients.fill(0, rowOf(slot), rowOf(slot + 1));
}

/** One connection; bytes are those of the packets. */
export interface UwsgiClientStats {
  /** One word of IPv4, unsigned; null before the first claim. */
  readonly address: number | null;
  /** Who owns the address: by the credentials that it sent, else the user of the process that connected. */
  readonly uid: number;
  readonly pid: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Of what it sent and what was sent to it. */
  readonly dropped: number;
}

/** Reads what is connected now. */
export function clientStats(clients: Float64Array): readonly UwsgiClientStats[] {
  const list: UwsgiClientStats[] = [];
  for (let slot = 0; slot < MAX_CLIENTS; slot += 1) {
    const at = (column: number) => clients[rowOf(slot) + column] ?? 0;
    if (at(CLIENT_COLUMN.isConnected) === 0) continue;
    list.push({
      address: at(CLIENT_COLUMN.address) || null,
      uid: at(CLIENT_COLUMN.uid),
      pid: at(CLIENT_COLUMN.pid),
      rxPackets: at(CLIENT_COLUMN.rxPackets),
      rxBytes: at(CLIENT_COLUMN.rxBytes),
      txPackets: at(CLIENT_COLUMN.txPackets),
      txBytes: at(CLIENT_COLUMN.txBytes),
      dropped: at(CLIENT_COLUMN.dropped),
    });
  }
  return list;
}

/** Reads the totals. */
export function reasonTotals(reasons: Float64Array): Readonly<Record<UwsgiReason, number>> {
  return Object.fromEntries(
    UWSGI_REASONS.map((reason, column) => [reason, reasons[column] ?? 0]),
  ) as Record<UwsgiReason, number>;
}
