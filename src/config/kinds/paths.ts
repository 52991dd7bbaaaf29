/** Kinds of paths: on the host, inside the vassal, and from one to the other. */
import { posix } from 'node:path';
import { type Fault, type Kind, plainKind, unlike } from './kind.ts';
import { joinWords, splitWords } from './shell-words.ts';

/** A path on the host; the value is absolute, a relative one goes by its file's directory. */
export const hostPath: Kind<string> = plainKind(
  { name: 'path', expects: 'a path, absolute or relative to this file', schema: { minLength: 1 } },
  (text, { directory }) => (text === '' ? undefined : posix.resolve(directory, text)),
  (path) => path,
);

/** A path inside the vassal; a relative one goes by its home. */
export const innerPath: Kind<string> = plainKind(
  { name: 'path', expects: 'a path inside the vassal', schema: { minLength: 1 } },
  (text) => (text === '' ? undefined : text),
  (path) => path,
);

/** A program inside that has a field of passwd(5). */
export const innerProgram: Kind<string> = plainKind(
  {
    name: 'program',
    expects: 'the absolute path of a program inside the vassal',
    schema: { pattern: '^/[A-Za-z0-9._+/-]*[A-Za-z0-9._+-]$' },
  },
  (text) => (/^\/[A-Za-z0-9._+/-]*[A-Za-z0-9._+-]$/.test(text) ? text : undefined),
  (path) => path,
);

export interface Bind {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** Trees that every jail makes by itself. */
const RESERVED_TARGETS = ['/proc', '/dev', '/sys'];

export const bind: Kind<Bind> = {
  name: 'bind',
  expects: '`SOURCE TARGET`, read-only unless `rw` follows; quote a path with spaces',
  schema: { pattern: '^\\S+.*\\s+.*\\S+$' },
  parse(text, { directory }) {
    const split = splitWords(text);
    if ('message' in split) return { fault: { ...split, hint: `it takes ${bind.expects}` } };
    const [source, target, mode, ...rest] = split.words;
    if (!source?.text || !target || rest.length > 0) return unlike(text, bind);
    if (mode && mode.text !== 'rw' && mode.text !== 'ro') {
      const message = `\`${mode.text}\` is neither \`rw\` nor \`ro\``;
      return { fault: { message, offset: mode.start, hint: `it takes ${bind.expects}` } };
    }
    const fault = targetFault(target.text);
    if (fault) return { fault: { ...fault, offset: target.start } };
    const value = {
      source: posix.resolve(directory, source.text),
      target: target.text,
      readOnly: mode?.text !== 'rw',
    };
    return { value };
  },
  print: ({ source, target, readOnly }) => joinWords([source, target, ...(readOnly ? [] : ['rw'])]),
};

function targetFault(target: string): Fault | undefined {
  if (!target.startsWith('/')) {
    return { message: `the target \`${target}\` is not absolute`, hint: 'begin it with `/`' };
  }
  if (target === '/' || posix.normalize(target) !== target || target.endsWith('/')) {
    const hint = 'name a directory or file inside, without `..`, `//` or `/` at the end';
    return { message: `the target \`${target}\` is no plain path`, hint };
  }
  const reserved = RESERVED_TARGETS.find(
    (path) => target === path || target.startsWith(`${path}/`),
  );
  if (reserved === undefined) return undefined;
  return {
    message: `the target \`${target}\` is below ${reserved}, which every vassal has of its own`,
    hint: 'choose another target, such as one below /opt or /srv',
  };
}
