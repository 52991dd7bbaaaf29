// What mutate-hardening.mjs takes away: one mutant for each line, flag, call or entry of a list that denies or narrows
// something. They are found by what the code looks like, so that a new one is among them by itself.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const NATIVE = 'src/jail/native';
const PLAN = 'src/jail/plan.ts';

/** Which tests may notice: those of behaviour, the fast ones first, and those that compare with a committed state. */
const TESTS = {
  filter: {
    behaviour: [['test/kernel/seccomp.test.ts']],
    golden: ['test/kernel/syscalls.test.ts'],
  },
  plan: {
    behaviour: [
      ['test/kernel/hardening.test.ts', 'test/kernel/jail-promises.test.ts'],
      ['test/kernel/jail.test.ts', 'test/security/inside.test.ts'],
    ],
    golden: ['test/unit/jail/plan.test.ts'],
  },
  init: {
    behaviour: [
      ['test/kernel/hardening.test.ts', 'test/kernel/jail-promises.test.ts'],
      [
        ...['test/kernel/jail.test.ts', 'test/kernel/jail-failures.test.ts'],
        ...['test/kernel/paths-of-others.test.ts', 'test/kernel/crontab.test.ts'],
        'test/kernel/adopt-process.test.ts',
      ],
      [
        ...['test/kernel/door.test.ts', 'test/kernel/launcher.test.ts', 'test/kernel/init.test.ts'],
        ...['test/kernel/home-image.test.ts', 'test/security/network-attacks.test.ts'],
        'test/security/inside.test.ts',
      ],
    ],
    golden: ['test/kernel/vassal-state.test.ts'],
  },
};

/** All mutants of the checkout at `root`: {id, file, line, what, content, tests}, where `content` is the changed file. */
export function findMutants(root) {
  const read = (file) => ({ file, text: readFileSync(join(root, file), 'utf8') });
  const native = readdirSync(join(root, NATIVE))
    .filter((name) => name.endsWith('.c') && name !== 'seccomp-profile.c')
    .sort()
    .map((name) => read(`${NATIVE}/${name}`));
  const found = [
    ...mutantsOfProfile(read(`${NATIVE}/seccomp.profile`)),
    ...mutantsOfConditions(read(`${NATIVE}/seccomp-profile.c`)),
    ...mutantsOfPlan(read(PLAN)),
    ...native.flatMap(mutantsOfInit),
  ];
  return found.map((mutant) => ({
    ...mutant,
    id: `${mutant.file.split('/').at(-1)}:${mutant.line} ${mutant.what}`,
  }));
}

/** The file with `text` from `at` on, `length` long, replaced. */
function mutant({ file, text }, { at, length, by, what, tests }) {
  const line = text.slice(0, at).split('\n').length;
  const content = text.slice(0, at) + by + text.slice(at + length);
  return { file, line, what, content, tests: TESTS[tests] };
}

/** One mutant for each match that `isWanted`; `by` gives the replacement. */
function replaceEach(source, pattern, { by, what, tests, isWanted = () => true }) {
  return [...source.text.matchAll(pattern)]
    .filter((match) => isWanted(match, lineAt(source.text, match.index)))
    .map((match) =>
      mutant(source, {
        at: match.index,
        length: match[0].length,
        by: by(match),
        what: what(match),
        tests,
      }),
    );
}

function lineAt(text, at) {
  return text.slice(
    text.lastIndexOf('\n', at - 1) + 1,
    (text.indexOf('\n', at) + 1 || text.length + 1) - 1,
  );
}

// ── The system call filter ───────────────────────────────────────────────────────────────────────

/** Each call that is refused by name is allowed. */
function mutantsOfProfile(source) {
  const calls = [];
  for (const { index, 0: line } of source.text.matchAll(/^(?:EPERM|ENOSYS) .*$/gm)) {
    for (const word of line.matchAll(/(?<= )[a-z]\S*/g))
      calls.push({ at: index + word.index, name: word[0] });
  }
  return calls.map(({ at, name }) => {
    const one = mutant(source, {
      at,
      length: name.length,
      by: '',
      what: `${name} is allowed`,
      tests: 'filter',
    });
    return { ...one, content: `${one.content}\nallow ${name}\n` };
  });
}

/** Each refusal by arguments is gone: the statements, and the entries of lists, of what refuse_by_arguments() calls. */
function mutantsOfConditions(source) {
  const names = [...bodyOf(source.text, 'refuse_by_arguments').text.matchAll(/(\w+)\(\);/g)].map(
    ([, name]) => name,
  );
  const bodies = names.map((name) => bodyOf(source.text, name));
  const inBodies = (pattern, make) =>
    bodies.flatMap((body) =>
      [...body.text.matchAll(pattern)].flatMap((match) => make(match, body.at + match.index)),
    );
  const statements = inBodies(/^ +((?:refuse_\w+|add)\([^;]*\);)$/gm, ([whole, statement], at) =>
    // What goes through a list has a mutant for each entry.
    statement.includes('[i]')
      ? []
      : mutant(source, {
          at: at + whole.indexOf(statement),
          length: statement.length,
          by: `if (0) ${statement}`,
          what: `without ${statement}`,
          tests: 'filter',
        }),
  );
  const entries = inBodies(/static const [^{]*\{([^}]*)\}/g, ([whole, list], at) =>
    [...list.matchAll(/(?:SCMP_SYS\(\w+\)|0x[0-9a-f]+),/g)].map((entry) =>
      mutant(source, {
        at: at + whole.indexOf('{') + 1 + entry.index,
        length: entry[0].length,
        by: '',
        what: `without ${commentAfter(list, entry) ?? entry[0].slice(0, -1)}`,
        tests: 'filter',
      }),
    ),
  );
  const rules = [
    [
      /begin_filter\(UNLISTED\)/g,
      'begin_filter(SCMP_ACT_LOG)',
      'what stands in no line is allowed',
    ],
    [
      /SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS/g,
      'SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW',
      'x32 and i386 are allowed',
    ],
    [/(?<=#define INT_MASK )0xffffffffULL/g, '0xffffffffffffffffULL', 'upper bits of an int count'],
    [
      /(?<=SCMP_A0\(SCMP_CMP_MASKED_EQ, )INT_MASK, values\[i\]/g,
      '0, 0',
      'each personality is allowed',
    ],
  ];
  return [
    ...statements,
    ...entries,
    ...rules.flatMap(([pattern, by, what]) =>
      replaceEach(source, pattern, { by: () => by, what: () => what, tests: 'filter' }),
    ),
  ];
}

// `0x2000, /* NAME */` is better known by its name.
function commentAfter(text, { index, 0: entry }) {
  return /^ \/\* (\w+)/.exec(text.slice(index + entry.length))?.[1];
}

/** The body of a C function, and where in `text` it begins. */
function bodyOf(text, name) {
  const at = text.indexOf(`static void ${name}(void)`);
  if (at < 0) throw new Error(`seccomp-profile.c has no ${name}()`);
  return { at, text: text.slice(at, text.indexOf('\n}\n', at)) };
}

// ── The plan of a jail ───────────────────────────────────────────────────────────────────────────

function mutantsOfPlan(source) {
  const each = (pattern, by, what, isWanted) =>
    replaceEach(source, pattern, { by, what, tests: 'plan', ...(isWanted && { isWanted }) });
  const isNoType = (_, line) => !/^export type|^ +readonly/.test(line);
  return [
    ...each(
      /'(ro|nosuid|nodev|noexec)'(, )?/g,
      () => '',
      ([, flag]) => `without ${flag}`,
      isNoType,
    ),
    ...each(
      /^ {2}'(\/proc\/[\w-]+)',\n/gm,
      () => '',
      ([, path]) => `without ${path}`,
    ),
    ...each(
      /^ +(?:\.\.\.\(.*\[)?\{ op: '(private|sweep|pivot|rlimit|drop|seccomp|lock)'.*\n/gm,
      () => '',
      ([line, op]) => `without ${op}${/resource: \w+/.exec(line)?.[0].slice(9) ?? ''}`,
      (_, line) => line.endsWith(','),
    ),
    ...each(
      /(?<=hidesOthers: )!spec[^,}]*\)/g,
      () => 'false',
      () => "others' processes show",
    ),
    ...each(
      /(?<=max: )64\b/g,
      () => '4096',
      () => 'more terminals',
    ),
    ...each(
      /(?<=inodes: )64\b/g,
      () => '0',
      () => 'any number of files in /dev',
    ),
    ...each(
      /(?<=, )0o(755|555)\b|(?<=mode[:=]? ?=? ?)0o(755|644)\b/g,
      ([mode]) => (mode === '0o644' ? '0o666' : '0o777'),
      ([mode]) => `writable for all instead of ${mode}`,
    ),
    ...each(
      /(?<=DEV_SIZE_BYTES = |SHM_SIZE_BYTES = )\S.*(?=;)/g,
      () => '0',
      () => 'any size',
    ),
    ...each(
      /(?<=, )spec\.(tmp|run)SizeBytes(?=,)/g,
      () => '0',
      ([, name]) => `/${name} of any size`,
    ),
    ...each(
      /Math\.max\(1024, .*\)(?=;)/g,
      () => '0',
      () => 'any number of files',
    ),
  ];
}

// ── init and the launcher ────────────────────────────────────────────────────────────────────────

const FLAGS =
  /\b(O_NOFOLLOW|UMOUNT_NOFOLLOW|RESOLVE_(?:BENEATH|NO_SYMLINKS|NO_MAGICLINKS)|(?:ATTR|MS)_(?:RDONLY|NOSUID|NODEV|NOEXEC))\b/g;

/** Calls that take something away from who is caged, and what they say when they have. */
const CALLS = [
  [
    /\bprctl\((?=PR_SET_DUMPABLE|PR_SET_NO_NEW_PRIVS|PR_CAPBSET_DROP|PR_CAP_AMBIENT|PR_SET_SECCOMP)/g,
    '0',
  ],
  [/\bsyscall\((?=SYS_capset|SYS_close_range)/g, '0'],
  [/\b(?:setgroups|setres[ug]id|chroot|umount2|setsid|fchown)\(/g, '0'],
  [/\b(?:setfs[ug]id\((?=owner)|umask\((?=0)|setrlimit\((?=self))/g, '0'],
  [/\b(?:log_confine|payload_confine|child_filter|child_limit|has_nothing_left)\(/g, '1'],
  [/\b(?:child_reset_signals|offer_to_oom_killer|payload_keep_only|act_as_owner)\(/g, '0'],
  [/\bS_IS(?:REG|DIR)\(/g, '1'],
];

function mutantsOfInit(source) {
  const { text } = source;
  const flags = replaceEach(source, FLAGS, {
    by: () => '0',
    what: ([flag]) => `without ${flag}`,
    tests: 'init',
    isWanted: ([flag], line) => !line.startsWith(`#define ${flag}`),
  });
  const calls = CALLS.flatMap(([pattern, success]) =>
    [...text.matchAll(pattern)]
      // What begins a line is a definition.
      .filter(({ index }) => lineAt(text, index).startsWith(' '))
      .map(({ index }) => {
        const call = callAt(text, index);
        const by = `(${success === '0' ? `0 ? (${call}, 0) : 0` : `1 || ${call}`})`;
        const isStatement =
          /^\s*$/.test(lineAt(text, index).slice(0, index - text.lastIndexOf('\n', index) - 1)) &&
          text[index + call.length] === ';';
        return mutant(source, {
          at: index,
          length: call.length,
          by: isStatement ? `if (0) ${call}` : by,
          what: `without ${call}`,
          tests: 'init',
        });
      }),
  );
  const refusals = replaceEach(
    source,
    /(?<=\bif \()(?=[^;{]*\)\s*(?:return fail\(|error = )E(?:PERM|ACCES)\b)/g,
    {
      by: () => '0 && ',
      what: (match) => `without if (${text.slice(match.index, text.indexOf('\n', match.index))}`,
      tests: 'init',
    },
  );
  return [...flags, ...calls, ...refusals];
}

/** `name(…)` from `at` on, to the parenthesis that closes it. */
function callAt(text, at) {
  let depth = 0;
  for (let end = text.indexOf('(', at); end < text.length; end += 1) {
    if (text[end] === '(') depth += 1;
    if (text[end] === ')') depth -= 1;
    if (depth === 0) return text.slice(at, end + 1);
  }
  throw new Error(`a call without end: ${lineAt(text, at)}`);
}
