// What mutate-hardening.mjs takes away: one mutant for each line, flag, call or entry of a list that denies or narrows
// something. They are found by what the code looks like: a new one that looks like one of these is among them by itself, one
// that looks otherwise, or a call of another name, has to be added here. What is here and matches nothing any more throws.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const NATIVE = 'src/jail/native';
const PLAN = 'src/jail/plan.ts';

/** Which tests may notice: those of behaviour, the fast ones first, and those that compare with a committed state. */
const INIT = {
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
};

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
  init: INIT,
  // These alone mount an image.
  image: {
    ...INIT,
    behaviour: [['test/kernel/home-image.test.ts', 'test/e2e/home-size.test.ts']],
  },
  // Only what an emperor starts has a score to lose.
  launcher: { ...INIT, behaviour: [...INIT.behaviour, ['test/e2e/limits.test.ts']] },
};

/** Files of the C program that others judge than init. */
const JUDGED_BY = { 'home-image.c': 'image', 'launcher.c': 'launcher' };

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
    ...mutantsOfInit(native),
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

/** What was renamed, or is written otherwise now, would have no mutant any more, and nobody would know. */
function atLeastOne(found, what) {
  if (found.length === 0) throw new Error(`Nothing looks like ${what} any more`);
  return found;
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

/** Each refusal by arguments is gone: the statements and, where these go through a list, each of its entries. */
function mutantsOfConditions(source) {
  return [...conditionsOf(source), ...rulesOf(source)];
}

const STATIC_FUNCTION = /^static \w+ \**\w+\([^{;]*\)\n\{\n[\s\S]*?^\}/gm;
const REFUSAL = /^ +((?:refuse_\w+\([^;]+\)|add\(SCMP_ACT_ERRNO\([^;]*\));)$/gm;

function conditionsOf(source) {
  const bodies = [...source.text.matchAll(STATIC_FUNCTION)].filter(
    ([body]) => body.search(REFUSAL) >= 0,
  );
  return atLeastOne(bodies, 'a function that refuses').flatMap((body) => [
    ...statementsOf(source, body),
    ...entriesOf(source, body),
  ]);
}

function statementsOf(source, { index, 0: body }) {
  return (
    [...body.matchAll(REFUSAL)]
      // What goes through a list has a mutant for each entry.
      .filter(([, statement]) => !statement.includes('[i]'))
      .map(({ index: at, 0: whole, 1: statement }) =>
        mutant(source, {
          at: index + at + whole.indexOf(statement),
          length: statement.length,
          by: `if (0) ${statement}`,
          what: `without ${statement}`,
          tests: 'filter',
        }),
      )
  );
}

function entriesOf(source, { index, 0: body }) {
  return [...body.matchAll(/static const [^{]*\{([^}]*)\}/g)].flatMap(
    ({ index: at, 0: whole, 1: list }) => {
      const code = list.replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => ' '.repeat(comment.length));
      const entries = [...code.matchAll(/[^\s,](?:[^,]*[^\s,])?,?/g)];
      return atLeastOne(entries, `an entry of ${whole}`).map((entry) =>
        mutant(source, {
          at: index + at + whole.indexOf('{') + 1 + entry.index,
          length: entry[0].length,
          by: '',
          what: `without ${commentAfter(list, entry) ?? entry[0].replace(',', '')}`,
          tests: 'filter',
        }),
      );
    },
  );
}

function rulesOf(source) {
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
  return rules.flatMap(([pattern, by, what]) =>
    atLeastOne(
      replaceEach(source, pattern, { by: () => by, what: () => what, tests: 'filter' }),
      pattern,
    ),
  );
}

// `0x2000, /* NAME */` is better known by its name.
function commentAfter(text, { index, 0: entry }) {
  return /^ \/\* (\w+)/.exec(text.slice(index + entry.length))?.[1];
}

// ── The plan of a jail ───────────────────────────────────────────────────────────────────────────

function mutantsOfPlan(source) {
  const each = (pattern, by, what, isWanted) =>
    atLeastOne(
      replaceEach(source, pattern, { by, what, tests: 'plan', ...(isWanted && { isWanted }) }),
      pattern,
    );
  const isNoType = (_, line) => !/^export type|^ +readonly/.test(line);
  return [
    ...['ro', 'nosuid', 'nodev', 'noexec'].flatMap((flag) =>
      each(
        new RegExp(`'${flag}'(, )?`, 'g'),
        () => '',
        () => `without ${flag}`,
        isNoType,
      ),
    ),
    ...each(
      /^ {2}'(\/proc\/[\w-]+)',\n/gm,
      () => '',
      ([, path]) => `without ${path}`,
    ),
    ...['private', 'sweep', 'pivot', 'rlimit', 'drop', 'seccomp', 'lock'].flatMap((op) =>
      each(
        new RegExp(`^ +(?:\\.\\.\\.\\(.*\\[)?\\{ op: '${op}'.*\\n`, 'gm'),
        () => '',
        ([line]) => `without ${op}${/resource: \w+/.exec(line)?.[0].slice(9) ?? ''}`,
        (_, line) => line.endsWith(','),
      ),
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
    ...['DEV_SIZE_BYTES', 'SHM_SIZE_BYTES'].flatMap((name) =>
      each(
        new RegExp(`(?<=${name} = )\\S.*(?=;)`, 'g'),
        () => '0',
        () => 'any size',
      ),
    ),
    ...['tmp', 'run'].flatMap((name) =>
      each(
        new RegExp(`(?<=, )spec\\.${name}SizeBytes(?=,)`, 'g'),
        () => '0',
        () => `/${name} of any size`,
      ),
    ),
    ...each(
      /Math\.max\(1024, .*\)(?=;)/g,
      () => '0',
      () => 'any number of files',
    ),
  ];
}

// ── init and the launcher ────────────────────────────────────────────────────────────────────────

const FLAGS = [
  ...['O_NOFOLLOW', 'UMOUNT_NOFOLLOW'],
  ...['RESOLVE_BENEATH', 'RESOLVE_NO_SYMLINKS', 'RESOLVE_NO_MAGICLINKS'],
  ...['ATTR', 'MS'].flatMap((kind) =>
    ['RDONLY', 'NOSUID', 'NODEV', 'NOEXEC'].map((flag) => `${kind}_${flag}`),
  ),
];

/** Calls that take something away from who is caged, by how they begin; and what they say when they have. */
const CALLS = [
  ...['prctl(PR_SET_DUMPABLE', 'prctl(PR_SET_NO_NEW_PRIVS', 'prctl(PR_CAPBSET_DROP'],
  ...['prctl(PR_CAP_AMBIENT', 'prctl(PR_SET_SECCOMP', 'syscall(SYS_capset'],
  ...['syscall(SYS_close_range', 'setgroups(', 'setresuid(', 'setresgid(', 'chroot(', 'umount2('],
  ...['setsid(', 'fchown(', 'setfsuid(owner', 'setfsgid(owner', 'umask(0', 'setrlimit(self'],
  ...['child_reset_signals(', 'payload_keep_only(', 'act_as_owner('],
  ...['payload_keep_score(', 'be_worse(', 'be_as_others_for_oom_killer('],
].map((call) => [call, '0']);
const CHECKS = [
  ...['log_confine(', 'payload_confine(', 'child_filter(', 'child_limit(', 'has_nothing_left('],
  ...['S_ISREG(', 'S_ISDIR('],
].map((call) => [call, '1']);

function mutantsOfInit(sources) {
  return [
    ...FLAGS.flatMap((flag) =>
      atLeastOne(
        sources.flatMap((source) => withoutFlag(source, flag)),
        flag,
      ),
    ),
    ...[...CALLS, ...CHECKS].flatMap(([call, success]) =>
      atLeastOne(
        sources.flatMap((source) => withoutCall(source, call, success)),
        call,
      ),
    ),
    ...atLeastOne(sources.flatMap(withoutRefusals), 'a refusal'),
  ];
}

const judgesOf = ({ file }) => JUDGED_BY[file.split('/').at(-1)] ?? 'init';

function withoutFlag(source, flag) {
  return replaceEach(source, new RegExp(`\\b${flag}\\b`, 'g'), {
    by: () => '0',
    what: () => `without ${flag}`,
    tests: judgesOf(source),
    isWanted: (_, line) => !line.startsWith(`#define ${flag}`),
  });
}

function withoutCall(source, begin, success) {
  const { text } = source;
  return (
    [...text.matchAll(new RegExp(`\\b${begin.replace('(', '\\(')}`, 'g'))]
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
          tests: judgesOf(source),
        });
      })
  );
}

function withoutRefusals(source) {
  const { text } = source;
  return replaceEach(
    source,
    /(?<=\bif \()(?=[^;{]*\)\s*(?:return fail\(|error = )E(?:PERM|ACCES)\b)/g,
    {
      by: () => '0 && ',
      what: ({ index }) => `without if (${text.slice(index, text.indexOf('\n', index))}`,
      tests: judgesOf(source),
    },
  );
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
