/**
 * What stands between vassals and the world on a host that somebody else has set up: a FORWARD policy of Docker or
 * ufw, a resolver that only the host can reach. The judges are pure.
 */

import { parseToolJson, type Run } from '../base/run-tool.ts';
import type { NameServers } from './resolv.ts';

/** As the findings of the doctor. */
export interface NetworkFinding {
  readonly topic: string;
  readonly verdict: 'ok' | 'warning';
  readonly message: string;
  readonly fix: string | null;
}

/** A base chain of another's that drops what it does not know. */
export interface ForwardDrop {
  /** `ip filter FORWARD` */
  readonly chain: string;
  readonly keeper: 'docker' | 'ufw' | 'other';
  /** True where a rule accepts all that comes from our device, or goes there. */
  readonly acceptsFrom: boolean;
  readonly acceptsTo: boolean;
}

/** Looks at every table. Throws `exec-failed`, and `not-supported` without nft. */
export async function gatherForwardDrops(
  run: Run,
  device: string,
): Promise<readonly ForwardDrop[]> {
  return parseForwardDrops(parseToolJson(await run(['nft', '-j', 'list', 'ruleset'])), device);
}

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

interface Rule {
  readonly family: string;
  readonly table: string;
  readonly expr?: unknown;
}

/** Reads the output of `nft -j list ruleset` (libnftables-json(5)). Pure. */
export function parseForwardDrops(json: unknown, device: string): readonly ForwardDrop[] {
  const items = (json as { nftables?: unknown } | null)?.nftables;
  if (!Array.isArray(items)) return [];
  const pick = <T>(kind: string): readonly T[] =>
    // At the boundary: nft writes what its manual says.
    items.flatMap((item: Readonly<Record<string, T>>) => item[kind] ?? []);
  const chains = pick<Chain>('chain');
  const rules = pick<Rule>('rule');
  return chains
    .filter(({ hook, policy }) => hook === 'forward' && policy === 'drop')
    .map(({ family, table, name }) => {
      const isBeside = (other: Chain | Rule) => other.family === family && other.table === table;
      const names = chains.filter(isBeside).map((chain) => chain.name);
      const accepts = (key: string) =>
        rules.some((rule) => isBeside(rule) && isAccept(rule.expr, { key, device }));
      return {
        chain: `${family} ${table} ${name}`,
        keeper: keeperOf(names),
        acceptsFrom: accepts('iifname'),
        acceptsTo: accepts('oifname'),
      };
    });
}

function keeperOf(chains: readonly string[]): ForwardDrop['keeper'] {
  if (chains.includes('DOCKER-USER')) return 'docker';
  return chains.some((name) => /^ufw6?-/.test(name)) ? 'ufw' : 'other';
}

/** True if the rule looks at the device and accepts; what else it looks at is the operator's business. */
function isAccept(expr: unknown, { key, device }: { key: string; device: string }): boolean {
  if (!Array.isArray(expr)) return false;
  const isVerdict = expr.some((each: object | null) => each !== null && 'accept' in each);
  return (
    isVerdict &&
    expr.some(
      (each: { match?: { op?: string; left?: { meta?: { key?: string } }; right?: unknown } }) => {
        const match = each?.match;
        return match?.op === '==' && match.left?.meta?.key === key && match.right === device;
      },
    )
  );
}

/** One finding for each chain that is in the way; one that says so where none is. */
export function judgeForwarding(
  drops: readonly ForwardDrop[],
  device: string,
): readonly NetworkFinding[] {
  const topic = 'forwarding';
  const inTheWay = drops.filter(({ acceptsFrom, acceptsTo }) => !acceptsFrom || !acceptsTo);
  if (inTheWay.length === 0) {
    return [{ topic, verdict: 'ok', message: 'no other firewall is in the way', fix: null }];
  }
  return inTheWay.map(({ chain, keeper }) => ({
    topic,
    verdict: 'warning',
    message: `${chain}${OF[keeper]} drops what it does not know; vassals reach nothing outside`,
    fix: fixOf(keeper, { chain, device }),
  }));
}

const OF: Readonly<Record<ForwardDrop['keeper'], string>> = {
  docker: ' (Docker)',
  ufw: ' (ufw)',
  other: '',
};

function fixOf(
  keeper: ForwardDrop['keeper'],
  { chain, device }: { chain: string; device: string },
) {
  const [family = '', table = ''] = chain.split(' ');
  const answers = '-m conntrack --ctstate RELATED,ESTABLISHED';
  if (keeper === 'ufw') {
    return `\`ufw route allow in on ${device}\` and \`ufw route allow out on ${device}\``;
  }
  // Only where iptables knows the chain; a table with another name is nft's own.
  if (['ip', 'ip6'].includes(family) && table === 'filter') {
    const iptables = family === 'ip' ? 'iptables' : 'ip6tables';
    const place = keeper === 'docker' ? 'DOCKER-USER' : 'FORWARD';
    return (
      `\`${iptables} -I ${place} -i ${device} -j ACCEPT\` and ` +
      `\`${iptables} -I ${place} -o ${device} ${answers} -j ACCEPT\``
    );
  }
  return (
    `\`nft insert rule ${chain} iifname ${device} accept\` and ` +
    `\`nft insert rule ${chain} oifname ${device} ct state established,related accept\``
  );
}

/** `configured`: what emperor.ini names itself, which counts if there is any. Pure. */
export function judgeNameServers(
  { own, reachable }: NameServers,
  configured: readonly string[],
): NetworkFinding {
  const topic = 'name servers';
  const inUse = configured.length > 0 ? configured : reachable;
  if (inUse.length > 0) return { topic, verdict: 'ok', message: inUse.join(', '), fix: null };
  const message =
    own.length === 0
      ? 'the host has none'
      : `the host asks ${own.join(', ')}, which vassals cannot reach`;
  return { topic, verdict: 'warning', message, fix: 'set `dns` in emperor.ini' };
}
