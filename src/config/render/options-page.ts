/** docs/options.md, out of the tables; `npm run docs` writes it, and a test says when it is old. */
import { CODES } from '../diagnose.ts';
import { DIRECTIVES } from '../options/directives.ts';
import { EMPEROR_OPTIONS } from '../options/emperor.ts';
import { type Option, type OptionTable, spellingsOf } from '../options/option.ts';
import { VASSAL_OPTIONS } from '../options/vassal.ts';

export function optionsPage(): string {
  return [
    INTRODUCTION,
    '## Vassal file, section `[vassal]`\n',
    VASSAL_NOTE,
    tableOf(VASSAL_OPTIONS),
    '## emperor.ini, section `[emperor]`\n',
    EMPEROR_NOTE,
    tableOf(EMPEROR_OPTIONS),
    '## Keys that shape the text\n',
    directives(),
    markdownTable(PLACEHOLDERS),
    PLACEHOLDER_NOTE,
    '## What is refused or warned about\n',
    codes(),
  ].join('\n');
}

const INTRODUCTION = `# Options

This page is made from \`src/config/options/\` by \`npm run docs\`; edit the tables there.

A file has sections (\`[vassal]\`) and lines \`key = value\`; a value is the rest of its line, a comment is a
line that begins with \`;\` or \`#\`. Any section may be called \`[uwsgi]\`. Whatever is not known, not
readable or not permitted is refused with its line and column, and what runs goes on as it is.
\`emperor check\` tells all of it beforehand.
`;

const VASSAL_NOTE = `**Who**: _tenant_ keys may also stand in a file that belongs to the vassal's own uid; the others only
in files of root, of emperor.ini's owner or of \`trusted-owners\`. **Change**: what an edit costs. _live_:
nothing restarts; _process_: the command restarts; _jail_: the vassal is stopped and built anew.

The same keys may stand in a \`[class NAME]\` of emperor.ini (all but \`class\`). Precedence: the vassal file,
its class, \`vassal-set\`, the default; a \`final\` line of emperor.ini wins over all. Keys marked _repeatable_
add up, lowest precedence first.
`;

const EMPEROR_NOTE = `**Change**: _live_ keys take effect when the file is saved, _restart_ keys when the emperor is
started again (vassals go on meanwhile). \`emperor run --set KEY=VALUE\` wins over the file.
`;

const PLACEHOLDERS = [
  ['in a value', 'stands for'],
  ['`%n`', "the vassal's name"],
  ['`%p`, `%d`', 'path of the file, and of its directory with a `/` at the end'],
  [
    '`%(key)`',
    "the value of another key; an operator's line sees operators' lines only, a tenant's its own",
  ],
  ['`%(_)`', 'the word of the `for` loop'],
  [
    '`$(NAME)`',
    "a variable of the emperor's environment, in operators' files only; one that is not set stays as it is",
  ],
  ['`%%`', '`%`'],
];

const PLACEHOLDER_NOTE = `Any other \`%x\` stays as it is, and so do \`%d\`, \`%n\` and \`%p\` in a word that begins with \`+\`, so that
\`date +%d\` works. What is put in is not looked at again.
`;

function tableOf(table: OptionTable): string {
  const head = ['key', 'takes', 'default', 'who', 'change', ''];
  return markdownTable([head, ...Object.values(table).map(cellsOf)]);
}

function cellsOf(option: Option): readonly string[] {
  const names = spellingsOf(option)
    .map((name) => `\`${name}\``)
    .join(', ');
  const fallback = option.default === null ? (option.otherwise ?? 'none') : `\`${option.default}\``;
  const repeat = option.many ? ' _Repeatable._' : '';
  return [
    names,
    option.kind.expects,
    fallback,
    option.trust,
    option.reload,
    `${option.summary}${repeat} \`${option.name} = ${option.example}\``,
  ];
}

function directives(): string {
  const rows = DIRECTIVES.map(({ name, summary, example, trust, where }) => {
    const place = where === 'both' ? 'everywhere' : 'emperor.ini';
    return [`\`${name}\``, place, trust, `${summary} \`${example}\``];
  });
  return markdownTable([['key', 'where', 'who', ''], ...rows]);
}

function codes(): string {
  const rows = Object.entries(CODES).map(([code, meaning]) => [`\`${code}\``, meaning]);
  return markdownTable([['code', ''], ...rows]);
}

/** The first row is the head. Columns are padded, as the formatter wants them. */
function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const escaped = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, column) =>
    Math.max(3, ...escaped.map((row) => row[column]?.length ?? 0)),
  );
  const lines = escaped.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)));
  const rule = widths.map((width) => '-'.repeat(width));
  const all = [...lines.slice(0, 1), rule, ...lines.slice(1)];
  return `${all.map((row) => `| ${row.join(' | ')} |`).join('\n')}\n`;
}
