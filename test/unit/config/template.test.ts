import { describe, expect, test } from 'vitest';
import { MAX_EXPANDED_CHARACTERS } from '../../../src/config/budget.ts';
import { brief, emperorOf, resolve, VASSAL_FILE } from '../../support/configuration.ts';

/** What the variable X comes to. */
function expanded(value: string, more = '', changes: Parameters<typeof resolve>[1] = {}) {
  const { values, diagnostics } = resolve(`[vassal]\nenv = X=${value}\n${more}`, changes);
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) return brief(errors).join(', ');
  return values.find(({ key, value }) => key === 'env' && value.startsWith('X='))?.value.slice(2);
}

describe('partly M20: placeholders', () => {
  test.each([
    ['%n', 'blog'],
    ['%p', VASSAL_FILE],
    ['%d', '/etc/emperor/vassals/'],
    ['%dapp.py', '/etc/emperor/vassals/app.py'],
    ['%%', '%'],
    ['%%n %%(hostname)', '%n %(hostname)'],
    ['%%%n', '%blog'],
    ['%(stop-grace)', '10s'],
    ['100%', '100%'],
    ['% n', '% n'],
    ['%x %Y-%m %(', '%x %Y-%m %('],
    ['%(a b)', '%(a b)'],
    ['$(HOME)', '/root'],
    ['$(EMPTY)|', '|'],
    ['$(date) $(cat /x) $HOME', '$(date) $(cat /x) $HOME'],
  ])('%s stands for %s', (text, expected) => {
    expect(expanded(text)).toBe(expected);
  });

  test.each([
    ['date +%d', 'date +%d'],
    ["date '+%n %d' %n", "date '+%n %d' blog"],
    ['sh -c "date +%d.%n"', 'sh -c "date +%d.%n"'],
    ['date +%%d', 'date +%d'],
    ['a+%n', 'a+blog'],
  ])('a word that begins with + is a format of date: %s', (text, expected) => {
    expect(expanded(text)).toBe(expected);
  });

  test('the value of another key is looked up wherever it stands', () => {
    expect(expanded('%(hostname).%(chdir)', 'hostname = %n-www\nchdir = x\n')).toBe('blog-www.x');
    const emperor = emperorOf('vassal-set = hostname=set-%n\n');
    expect(expanded('%(hostname)', '', { emperor })).toBe('set-blog');
    expect(expanded('%(distro)')).toBe('bookworm');
    expect(expanded('%(bind)', 'bind = /a /b\nbind = /c /d\n')).toBe('/a /b');
  });

  test('what is put in is not looked at again', () => {
    expect(expanded('%(chdir)', 'chdir = %%(hostname)%%n\n')).toBe('%(hostname)%n');
    expect(expanded('%(chdir)', 'chdir = %%n $(X)\n')).toBe('%n $(X)');
  });

  test('a key without a value, an unknown one and a circle are mistakes', () => {
    expect(expanded('%(chdir)')).toBe('2:7 bad-template');
    expect(expanded('%(hostnme)')).toBe('2:7 bad-template');
    expect(expanded('%(env)')).toBe('2:7 bad-template');
    expect(expanded('%(_)')).toBe('2:7 bad-template');
    const circle = resolve('[vassal]\nchdir = %(hostname)\nhostname = %(chdir)\n').diagnostics;
    expect(brief(circle)).toEqual(['2:9 bad-template', '3:12 bad-template']);
    expect(circle.map(({ hint }) => hint).join()).toContain('stand for itself');
    const unknown = resolve('[vassal]\nenv = X=%(hostnme)\n').diagnostics;
    expect(unknown[0]?.hint).toBe('did you mean `hostname`?');
  });

  test('a variable that is not set stays, with a warning if it looks like one', () => {
    const { vassal, diagnostics } = resolve('[vassal]\nenv = X=$(NOT_SET) $(date)\n');
    expect(vassal?.env).toEqual([['X', '$(NOT_SET) $(date)']]);
    expect(diagnostics).toMatchObject([{ severity: 'warning', code: 'unset-variable' }]);
  });

  test('no variable can bring in a line', () => {
    const { vassal, diagnostics } = resolve('[vassal]\nenv = X=$(MULTILINE)\n');
    expect(vassal).toBeUndefined();
    expect(brief(diagnostics)).toEqual(['2:7 control-character']);
  });

  test('a value of the emperor.ini goes by the names of each vassal, and by the paths of emperor.ini', () => {
    const emperor = emperorOf('vassal-set = env=X=%n %p\nvassal-set = home=homes/%n\n');
    const { vassal } = resolve('[vassal]\n', { emperor });
    expect(vassal?.env).toEqual([['X', 'blog /etc/emperor/emperor.ini']]);
    expect(vassal?.home).toBe('/etc/emperor/homes/blog');
  });
});

describe('partly M20: for and endfor', () => {
  const env = (text: string, changes: Parameters<typeof resolve>[1] = {}) =>
    resolve(`[vassal]\n${text}`, changes).vassal?.env.map((pair) => pair.join('='));

  test('repeat each line for each word, as uWSGI does', () => {
    expect(env('for = a  b\nenv = X%(_)=1\nenv = Y%(_)=%(_)\nendfor =\nenv = Z=1\n')).toEqual([
      'Xa=1',
      'Xb=1',
      'Ya=a',
      'Yb=b',
      'Z=1',
    ]);
    expect(env('for = %n $(HOME)\nenv = X%(_)=\nendfor\n')).toBeUndefined();
    expect(env('for = %n c\nenv = X_%(_)=\nendfor\n')).toEqual(['X_blog=', 'X_c=']);
  });

  test('may include', () => {
    const files = {
      '/etc/emperor/vassals/a.ini': '[vassal]\nenv = A=1\n',
      '/etc/emperor/vassals/b.ini': '[uwsgi]\nenv = B=1\n',
    };
    expect(env('for = a b\ninclude = %(_).ini\nendfor\n', { files })).toEqual(['A=1', 'B=1']);
  });

  test.each([
    ['a loop without an end', 'for = a\nenv = A=1\n', '2:1 bad-template'],
    ['an end without a loop', 'endfor\n', '2:1 bad-template'],
    ['a loop in a loop', 'for = a\nfor = b\nendfor\n', '3:1 bad-template'],
    ['a loop over nothing', 'for =\nendfor\n', '2:1 bad-template'],
    ['a loop over a key', 'for = %(hostname)\nendfor\n', '2:7 bad-template'],
    ['one value twice', 'for = a b\nhostname = %(_)\nendfor\n', '3:1 duplicate-key'],
    ['a mistake in each round, once', 'for = a b\nhostnam = %(_)\nendfor\n', '3:1 unknown-key'],
  ])('refuse %s', (_, text, expected) => {
    expect(brief(resolve(`[vassal]\n${text}`).diagnostics)).toContain(expected);
  });
});

describe('include', () => {
  const included = (text: string, files: Readonly<Record<string, string>>) =>
    resolve(`[vassal]\n${text}`, { files });

  test('puts the lines of another file in its place, paths going by that file', () => {
    const { vassal, values } = included('env = A=1\ninclude = /srv/common.ini\nenv = C=1\n', {
      '/srv/common.ini': '[vassal]\nenv = B=%p\nhome = x/%n\n',
    });
    expect(vassal?.env).toEqual([
      ['A', '1'],
      ['B', '/srv/common.ini'],
      ['C', '1'],
    ]);
    expect(vassal?.home).toBe('/srv/x/blog');
    expect(values.find(({ key }) => key === 'home')?.origin).toBe('/srv/common.ini:3');
  });

  test('lets the including file win, and of two includes the later', () => {
    const files = {
      '/a': '[vassal]\nhostname = a\nchdir = a\n',
      '/b': '[vassal]\nhostname = b\nchdir = b\n',
    };
    const { vassal, diagnostics } = included('include = /a\nhostname = own\ninclude = /b\n', files);
    expect(diagnostics).toEqual([]);
    expect(vassal).toMatchObject({ hostname: 'own', chdir: 'b' });
  });

  test('of itself, of nothing or too deep is a mistake', () => {
    expect(brief(included('include = %p\n', {}).diagnostics)).toEqual(['2:11 bad-include']);
    const circle = included('include = /a\n', {
      '/a': '[vassal]\ninclude = /b\n',
      '/b': '[vassal]\ninclude = /a\n',
    });
    expect(circle.diagnostics).toMatchObject([{ file: '/b', line: 2, code: 'bad-include' }]);
    expect(brief(included('include =\n', {}).diagnostics)).toEqual(['2:1 bad-include']);
    expect(brief(included('include = gone.ini\n', {}).diagnostics)).toEqual(['2:11 bad-include']);
    const chain = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`/${i}`, `[vassal]\ninclude = /${i + 1}\n`]),
    );
    expect(included('include = /0\n', chain).diagnostics).toMatchObject([
      { code: 'bad-include', file: '/7' },
    ]);
  });

  test('is checked like the file itself', () => {
    const { diagnostics } = included('include = /a\n', { '/a': '[vassal]\nhostnam = x\n' });
    expect(diagnostics).toMatchObject([{ file: '/a', line: 2, code: 'unknown-key' }]);
    expect(included('include = /a\n', { '/a': '[emperor]\n' }).diagnostics).toMatchObject([
      { file: '/a', code: 'bad-section' },
    ]);
  });
});

describe('the size of what comes out', () => {
  const refused = (text: string, files: Readonly<Record<string, string>> = {}) =>
    resolve(`[vassal]\n${text}`, { files }).diagnostics.map(({ code }) => code);

  test('is bounded for loops', () => {
    const items = Array.from({ length: 5000 }, (_, i) => `i${i}`).join(' ');
    expect(
      refused(`for = ${items}\n${`env = X=%(_)${'x'.repeat(100)}\n`.repeat(100)}endfor\n`),
    ).toContain('expansion-too-large');
  });

  test('is bounded for placeholders that double at each step, also if they are empty', () => {
    const keys = [
      'chdir',
      'home',
      'hostname',
      'command',
      'exec-as-root',
      'bind',
      'stop-signal',
      'distro',
      'restart',
      'tmp-size',
      'run-size',
    ];
    const double = (seed: string) =>
      keys
        .map(
          (key, i) =>
            `${key} = ${`%(${keys[i + 1]})`.repeat(i + 1 < keys.length ? 8 : 0)}${i + 1 < keys.length ? '' : seed}\n`,
        )
        .join('');
    for (const seed of ['x'.repeat(100), '']) {
      expect(refused(double(seed))).toContain('expansion-too-large');
    }
  });

  test('is bounded for includes', () => {
    const text = `[vassal]\n${'; x\n'.repeat(15_000)}`;
    expect(
      refused('for = a b c d e f g h i j k l m n o p q r s t\ninclude = /a\nendfor\n', {
        '/a': text,
      }),
    ).toEqual(['expansion-too-large']);
  });

  test('leaves room for what a large file is', () => {
    const text = Array.from({ length: 1500 }, (_, i) => `env = X${i}=%n-${'x'.repeat(20)}\n`).join(
      '',
    );
    expect(refused(text)).toEqual([]);
    expect(MAX_EXPANDED_CHARACTERS).toBe(1024 * 1024);
  });
});
