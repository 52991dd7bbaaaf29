/** Keys that set no option: they shape the text, speak of other keys, or are there for uWSGI's sake. */
import type { Trust } from '../line.ts';

export interface Directive {
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  readonly example: string;
  readonly trust: Trust;
  /** Where it can stand. */
  readonly where: 'both' | 'emperor';
}

export const DIRECTIVES: readonly Directive[] = [
  {
    name: 'include',
    summary: "Reads another file's section in this place; a key of this file wins over it.",
    example: 'include = common.ini',
    trust: 'operator',
    where: 'both',
  },
  {
    name: 'for',
    summary: 'Repeats each line down to `endfor` for every word, which stands as `%(_)` in them.',
    example: 'for = de fr it',
    trust: 'tenant',
    where: 'both',
  },
  {
    name: 'endfor',
    summary: 'Ends what `for` began.',
    example: 'endfor',
    trust: 'tenant',
    where: 'both',
  },
  {
    name: 'vassal-set',
    summary: 'Gives a key of vassals a value for those that do not set it.',
    example: 'vassal-set = stop-grace=30s',
    trust: 'operator',
    where: 'emperor',
  },
  {
    name: 'final',
    summary: 'Gives a key of vassals a value that nothing can override.',
    example: 'final log-files = 3',
    trust: 'operator',
    where: 'emperor',
  },
  {
    name: 'master',
    summary: "Has no effect; uWSGI's texts say it, and a vassal always has an init.",
    example: 'master = true',
    trust: 'tenant',
    where: 'both',
  },
];

/** Those that are read and then left alone. */
export const IGNORED_KEYS: readonly string[] = ['master'];

/** For suggestions. */
export const VASSAL_KEYS = DIRECTIVES.filter(({ where }) => where === 'both').map(
  ({ name }) => name,
);
export const EMPEROR_KEYS = DIRECTIVES.map(({ name }) => name);
