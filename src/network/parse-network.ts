/** Networks that we write down ourselves. Pure. */
import { networkOf, type Prefix, parseCidr } from '../firewall/prefix.ts';

/** Throws where `text` is no `ADDRESS/MASK`: a bug. */
export function parseNetwork(text: string): Prefix {
  const cidr = parseCidr({ text, offset: 0 });
  if ('fault' in cidr) throw new Error(`${text} is no network: ${cidr.fault.message}`);
  return networkOf(cidr);
}
