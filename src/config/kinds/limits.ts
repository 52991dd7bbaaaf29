/** Kinds of limits, spelled as cgroup v2 spells them; `max` takes a limit of a class or of `vassal-set` away. */

import { parseSizeBytes } from '../../base/units.ts';
import type { IoMax, Limit } from '../../cgroup/limits.ts';
import { type Kind, plainKind, unlike } from './kind.ts';
import type { Bounds } from './numbers.ts';
import { duration, integer, size } from './numbers.ts';

/** Kind of a number, or `max` for none. */
function orMax(kind: Kind<number>, name: string): Kind<Limit> {
  const described = { name, expects: `${kind.expects}, or \`max\` for no limit` };
  return {
    ...described,
    schema: {},
    parse(text, context) {
      if (text === 'max') return { value: 'max' };
      const parsed = kind.parse(text, context);
      return 'fault' in parsed && parsed.fault.message.includes(' is no ')
        ? unlike(text, described)
        : parsed;
    },
    print: (value) => (value === 'max' ? value : kind.print(value)),
  };
}

/** Bytes. */
export const sizeLimit = (bounds: Bounds): Kind<Limit> => orMax(size(bounds), 'size');

export const countLimit = (bounds: Bounds): Kind<Limit> => orMax(integer(bounds), 'number');

/** Milliseconds. */
export const timeLimit = (bounds: Bounds): Kind<Limit> => orMax(duration(bounds), 'duration');

/** Of processor time; its value is in processors: 1.5 for `150%` and for `1.5`. */
export const cpuShare: Kind<Limit> = orMax(
  plainKind(
    {
      name: 'share of processors',
      expects: 'processors, such as `1.5`, or percent of one, such as `150%`',
    },
    (text) => {
      const [, digits, percent] = /^(\d{1,6}(?:\.\d{1,4})?)\s*(%?)$/.exec(text) ?? [];
      if (digits === undefined) return undefined;
      const processors = Number(digits) / (percent === '%' ? 100 : 1);
      return processors >= MIN_PROCESSORS && processors <= MAX_PROCESSORS ? processors : undefined;
    },
    (processors) => `${Number((processors * 100).toFixed(4))}%`,
  ),
  'share of processors',
);

/** The kernel takes no less than a millisecond of each tenth of a second. */
const MIN_PROCESSORS = 0.01;
const MAX_PROCESSORS = 8192;

const IO_KEYS = ['rbps', 'wbps', 'riops', 'wiops'] as const;

export const ioMax: Kind<IoMax> = plainKind(
  {
    name: 'limit of a disk',
    expects:
      'a disk or a path that lies on it, and some of `rbps`, `wbps` (bytes) and `riops`, `wiops` (operations) a second, such as `/srv rbps=10M wiops=200`',
  },
  (text) => {
    const [device = '', ...words] = text.split(/\s+/);
    if (!/^(\/.*|\d{1,4}:\d{1,7})$/.test(device) || words.length === 0) return undefined;
    const limits: Partial<Record<(typeof IO_KEYS)[number], number>> = {};
    for (const word of words) {
      const [, key, amount = ''] = /^([rw](?:bps|iops))=(.+)$/.exec(word) ?? [];
      const known = IO_KEYS.find((one) => one === key);
      const value = known?.endsWith('bps') ? parseSizeBytes(amount) : wholeNumber(amount);
      if (!known || known in limits || !value) return undefined;
      limits[known] = value;
    }
    return { device, ...limits };
  },
  (value) =>
    [
      value.device,
      ...IO_KEYS.flatMap((key) => (value[key] === undefined ? [] : [`${key}=${value[key]}`])),
    ].join(' '),
);

function wholeNumber(text: string): number | undefined {
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
}
