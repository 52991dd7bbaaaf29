/** Kinds of what the router lets pass: rules of its chains, rules of a vassal, what NAT refuses. */
import { meantBy, type Prefix, parseCidr, printMeant, widening } from '../../firewall/prefix.ts';
import {
  type DeviceRule,
  type ParsedRule,
  parseDeviceRule,
  parseRule,
  printDeviceRule,
  printRule,
  type Rule,
} from '../../firewall/rule.ts';
import { abbreviated, type Fault, type Kind, unlike, type Warning } from './kind.ts';

/** What vassals never reach by NAT: a network, or a port of any host. */
export type NatDeny =
  | { readonly network: Prefix }
  | { readonly protocol: 'tcp' | 'udp'; readonly port: number };

export const rule: Kind<Rule> = ruleKind(
  {
    name: 'rule',
    expects: '`allow` or `deny`, alone or with `SRC[/MASK] DST[/MASK]`; `0.0.0.0` and `::` are any',
    schema: { pattern: '^(allow|deny)(\\s+\\S+\\s+\\S+)?$' },
  },
  parseRule,
  printRule,
);

export const deviceRule: Kind<DeviceRule> = ruleKind(
  {
    name: 'rule',
    expects: '`in|out SRC[/MASK] DST[/MASK] allow|deny`; `0.0.0.0` and `::` are any',
    schema: { pattern: '^(in|out)\\s+\\S+\\s+\\S+\\s+(allow|deny)$' },
  },
  parseDeviceRule,
  printDeviceRule,
);

function ruleKind<R>(
  described: Pick<Kind<R>, 'name' | 'expects' | 'schema'>,
  read: (text: string) => ParsedRule<R>,
  print: (value: R) => string,
): Kind<R> {
  return {
    ...described,
    parse(text) {
      const parsed = read(text);
      if ('rule' in parsed) {
        return { value: parsed.rule, warnings: parsed.warnings.map(wideAddress) };
      }
      const [fault, ...more] = parsed.faults;
      return fault ? { fault, more } : unlike(text, described);
    },
    print,
  };
}

function wideAddress(fault: Fault): Warning {
  return { ...fault, code: 'wide-address' };
}

/** Networks and ports on one line; `none` is the list without any. */
export const natDenials: Kind<readonly NatDeny[]> = {
  name: 'list of what NAT denies',
  expects: 'networks, `tcp/PORT` and `udp/PORT`, separated by commas or blanks, or `none`',
  schema: { minLength: 1 },
  parse(text) {
    if (text === 'none') return { value: [] };
    const items = [...text.matchAll(/[^,\s]+/g)].map(({ 0: word, index }) =>
      readDenial(word, index),
    );
    const [fault, ...more] = items.flatMap((item) => ('fault' in item ? [item.fault] : []));
    if (fault) return { fault, more };
    const value = items.flatMap((item) => ('value' in item ? [item.value] : []));
    const warnings = items.flatMap((item) => ('warnings' in item ? item.warnings : []));
    return value.length === 0 ? unlike('', natDenials) : { value, warnings };
  },
  print: (items) => (items.length === 0 ? 'none' : items.map(printDenial).join(', ')),
};

type Denial = { readonly value: NatDeny; readonly warnings: readonly Warning[] };

function readDenial(text: string, offset: number): Denial | { readonly fault: Fault } {
  const match = /^(tcp|udp)\/([1-9]\d{0,4})$/.exec(text);
  if (match && Number(match[2]) <= 65_535) {
    const protocol = match[1] === 'tcp' ? 'tcp' : 'udp';
    return { value: { protocol, port: Number(match[2]) }, warnings: [] };
  }
  const cidr = parseCidr({ text, offset });
  if ('fault' in cidr) {
    const hint = 'write a network such as `169.254.0.0/16`, or `tcp/PORT` or `udp/PORT`';
    const message = `\`${abbreviated(text)}\` is neither a network nor a port`;
    return { fault: { message, hint, offset } };
  }
  const warning = widening({ text, offset }, cidr);
  return { value: { network: meantBy(cidr) }, warnings: warning ? [wideAddress(warning)] : [] };
}

function printDenial(item: NatDeny): string {
  return 'network' in item ? printMeant(item.network) : `${item.protocol}/${item.port}`;
}
