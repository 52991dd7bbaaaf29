/**
 * What is counted for one vassal, as numbers in a row of a Float64Array: exact up to 2^53, and written without
 * an allocation. From the vassal's point of view: `rx` is what it received.
 */

/** Why a packet went no further; the order is that of the columns, new ones come last. */
export const DROP_REASONS = [
  'malformed', // no whole IP packet
  'spoofed', // its source is not the sender's own address
  'denied-out', // by the chain `out`, or a rule of the sender's
  'denied-in', // by the chain `in`, or a rule of the receiver's
  'no-vassal', // an address of the network that nobody has
  'not-unicast', // broadcast, multicast, link-local, loopback
  'not-taken', // the receiver's device is down or gone
  'source-route', // it names the way that it wants to go
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export const COLUMN = { rxPackets: 0, rxBytes: 1, txPackets: 2, txBytes: 3, drops: 4 } as const;
/** Columns of a row; some are free for later. */
export const COLUMNS = 16;

/** Totals of one vassal since its home was made. */
export interface Traffic {
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly txPackets: number;
  /** Packets of all reasons but the firewall's. */
  readonly dropped: number;
  /** Packets that the firewall denied, either way. */
  readonly denied: number;
  readonly drops: Readonly<Record<DropReason, number>>;
}

/** Of a vassal that was never attached. */
export const NO_TRAFFIC: Traffic = trafficOf(new Float64Array(COLUMNS), 0);

/** Reads the row at `start`. */
export function trafficOf(counters: Float64Array, start: number): Traffic {
  const at = (column: number) => counters[start + column] ?? 0;
  const drops = Object.fromEntries(
    DROP_REASONS.map((reason, i) => [reason, at(COLUMN.drops + i)]),
  ) as Record<DropReason, number>;
  const denied = drops['denied-out'] + drops['denied-in'];
  return {
    rxBytes: at(COLUMN.rxBytes),
    txBytes: at(COLUMN.txBytes),
    rxPackets: at(COLUMN.rxPackets),
    txPackets: at(COLUMN.txPackets),
    dropped: Object.values(drops).reduce((sum, one) => sum + one, 0) - denied,
    denied,
    drops,
  };
}
