import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_CRONTAB_BYTES, MAX_CRONTAB_JOBS, parseCrontab } from '../../../src/cron/crontab.ts';

function jobsOf(text: string) {
  return parseCrontab(text).jobs.map(
    ({ lineNumber, expression, command, input, environment, shell, zone }) => ({
      lineNumber,
      expression,
      command,
      input,
      environment: Object.fromEntries(environment),
      shell,
      zone,
    }),
  );
}

function told(text: string): readonly string[] {
  return parseCrontab(text).findings.map(
    ({ line, offset, severity, message }) => `${line}:${offset} ${severity}: ${message}`,
  );
}

/** As people have them (U43). */
const REAL = `# m h  dom mon dow   command
PATH=/usr/local/bin:/usr/bin:/bin
MAILTO=""
SHELL = "/bin/bash"

*/5 * * * * /home/blog/bin/poll >/dev/null 2>&1
17 *	* * *	cd / && run-parts --report /etc/cron.hourly
0 3 * * 1-5 pg_dump blog | gzip > ~/backup/$(date +\\%F).sql.gz
CRON_TZ = Europe/Berlin
NAME='two words'
30 2 1,15 jan-mar,dec * mail -s hello me%first line%second line
@reboot ~/bin/worker --daemon
`;

describe('parseCrontab()', () => {
  test('partly U43: reads what people have, with the environment of each line', () => {
    expect(told(REAL)).toEqual([]);
    const early = { PATH: '/usr/local/bin:/usr/bin:/bin', SHELL: '/bin/bash' };
    const late = { ...early, NAME: 'two words' };
    const common = { shell: '/bin/bash', input: '' };
    expect(jobsOf(REAL)).toEqual([
      {
        ...common,
        lineNumber: 6,
        expression: '*/5 * * * *',
        command: '/home/blog/bin/poll >/dev/null 2>&1',
        environment: early,
        zone: null,
      },
      {
        ...common,
        lineNumber: 7,
        expression: '17 * * * *',
        command: 'cd / && run-parts --report /etc/cron.hourly',
        environment: early,
        zone: null,
      },
      {
        ...common,
        lineNumber: 8,
        expression: '0 3 * * 1-5',
        command: 'pg_dump blog | gzip > ~/backup/$(date +%F).sql.gz',
        environment: early,
        zone: null,
      },
      {
        ...common,
        lineNumber: 11,
        expression: '30 2 1,15 jan-mar,dec *',
        command: 'mail -s hello me',
        input: 'first line\nsecond line\n',
        environment: late,
        zone: 'Europe/Berlin',
      },
      {
        ...common,
        lineNumber: 12,
        expression: '@reboot',
        command: '~/bin/worker --daemon',
        environment: late,
        zone: 'Europe/Berlin',
      },
    ]);
  });

  test('tells what is wrong by line, and keeps the good lines', () => {
    const text =
      '* * * * * good\nevery day\n61 * * * * bad\r\nMAILTO=me@example.org\n@daily also-good\nCRON_TZ=Mars\nSHELL=bash\n0 0 * * * %x\n';
    expect(jobsOf(text).map(({ command }) => command)).toEqual(['good', 'also-good']);
    expect(told(text)).toEqual([
      '2:9 error: it ends before the day',
      '3:0 error: there is no minute `61`',
      '4:0 warning: no mail is sent',
      '6:8 error: there is no time zone `Mars`',
      '7:6 error: this is no path of a shell',
      '8:0 error: it has no command',
    ]);
  });

  test('takes a zone before one job for that job', () => {
    expect(
      jobsOf('CRON_TZ=Asia/Tokyo 0 9 * * * tea\n0 9 * * * tea').map(({ zone }) => zone),
    ).toEqual(['Asia/Tokyo', null]);
  });

  test('is bounded: text, line, jobs, variables, findings', () => {
    expect(told('#'.repeat(MAX_CRONTAB_BYTES + 1))).toEqual([
      '0:0 error: the crontab is too large to be read',
    ]);
    expect(told(`* * * * * ${'x'.repeat(5000)}`)).toEqual(['1:4096 error: the line is too long']);
    const many = parseCrontab('* * * * * x\n'.repeat(MAX_CRONTAB_JOBS + 300));
    expect([many.jobs.length, many.findings.length]).toEqual([MAX_CRONTAB_JOBS, 50]);
    const lines = Array.from({ length: 10_000 }, (_, index) => `${index % 70} * *`).join('\n');
    expect(parseCrontab(lines.slice(0, MAX_CRONTAB_BYTES)).findings).toHaveLength(50);
    const variables = Array.from({ length: 80 }, (_, index) => `V${index}=1`).join('\n');
    expect(told(`${variables}\n* * * * * x`)).toHaveLength(16);
    const zones = 'CRON_TZ=UTC\n'.repeat(499);
    expect(told(`#\n\n${zones}* * * * * x`)).toEqual([]);
    expect(told(`${zones}* * * * * x\n* * * * * y\n* * * * * z`)).toEqual([
      '501:0 error: it is one line too many, and those below it do not count either',
    ]);
  });

  test('of blanks is read as fast as any other', () => {
    const text = `A=x${' '.repeat(4085)}y\n`.repeat(16);
    const times = [1, 2, 3].map(() => {
      const start = performance.now();
      parseCrontab(text);
      return performance.now() - start;
    });
    // By a pattern that tries each of the blanks it was half a second.
    expect(Math.min(...times)).toBeLessThan(100);
  });

  test('refuses what is no text', () => {
    expect(told('* * * * * a\u0000b')).toEqual(['1:11 error: it holds a control character']);
    expect(jobsOf('* * * * * a\u001bb')).toEqual([]);
  });

  test('ends for any text; a finding lies within its line, and a job has a command', () => {
    const line = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.stringMatching(/^[-*/,0-9a-z@%=\\" ]{0,30}$/),
      fc.constantFrom(...REAL.split('\n')),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
        const text = lines.join('\n');
        const { jobs, findings } = parseCrontab(text);
        const all = text.split('\n');
        for (const job of jobs) expect(job.command.trim()).not.toBe('');
        for (const found of findings) {
          const length = (all[found.line - 1] ?? '').length;
          expect(found.offset).toBeGreaterThanOrEqual(0);
          expect(found.offset + found.length).toBeLessThanOrEqual(length);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
