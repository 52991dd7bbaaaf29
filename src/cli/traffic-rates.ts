/** How fast vassals send and receive, by two looks at their totals. Pure. */
import type { NetworkStatus, VassalTraffic } from '../emperor/governor.ts';

export interface Rates {
  readonly rxBytesPerSecond: number;
  readonly txBytesPerSecond: number;
  readonly rxPacketsPerSecond: number;
  readonly txPacketsPerSecond: number;
}

export type RatedVassal = VassalTraffic & { readonly rates?: Rates };

export type RatedNetwork = Omit<NetworkStatus, 'vassals'> & {
  readonly vassals: readonly RatedVassal[];
};

/** `after`, `seconds` later than `before`, with rates; who is fastest stands first. */
export function withRates(
  before: NetworkStatus,
  after: NetworkStatus,
  seconds: number,
): RatedNetwork {
  const earlier = new Map(before.vassals.map(({ name, traffic }) => [name, traffic]));
  const vassals = after.vassals.map((vassal) => {
    const was = earlier.get(vassal.name) ?? vassal.traffic;
    // Less than before: it was purged, and counts anew.
    const rate = (now: number, then: number) => Math.round(Math.max(0, now - then) / seconds);
    const { rxBytes, txBytes, rxPackets, txPackets } = vassal.traffic;
    const rates: Rates = {
      rxBytesPerSecond: rate(rxBytes, was.rxBytes),
      txBytesPerSecond: rate(txBytes, was.txBytes),
      rxPacketsPerSecond: rate(rxPackets, was.rxPackets),
      txPacketsPerSecond: rate(txPackets, was.txPackets),
    };
    return { ...vassal, rates };
  });
  const speedOf = ({ rates }: { readonly rates: Rates }) =>
    rates.rxBytesPerSecond + rates.txBytesPerSecond;
  return { ...after, vassals: vassals.sort((a, b) => speedOf(b) - speedOf(a)) };
}
